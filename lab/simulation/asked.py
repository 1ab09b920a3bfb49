"""What clients ask."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Asked:
    """One request, as its client knows it."""

    number: int
    sub: str | None
    rule: tuple[str, str]
    generation: int | None
    """`None`: a token of another identity provider."""
    issued: float
    """When the token was made at the earliest, in Unix seconds."""
    claimed: str | None
    minimum: str | None
    sent: float
    foreign: bool = False
    """Whether its `minimum` was made up."""
    whose: str = "7"
    """Of whom its path tells."""

    @property
    def path(self) -> str:
        return self.rule[1].replace("{id}", self.whose)
