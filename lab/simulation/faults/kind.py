"""What a kind of fault is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from lab.simulation.world import Trouble, World


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that has begun: what of, whom it troubles, and how it ends."""

    detail: str
    troubles: tuple[Trouble, ...]
    end: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault; it lasts a random time between `seconds`."""

    name: str
    strike: Callable[[World, Random], Strike]
    seconds: tuple[float, float]


SERVICE: Trouble = ("service",)
STORE: Trouble = ("store",)
BROKER: Trouble = ("broker",)


def setting(
    target: object, name: str, value: object, calm: object, *troubles: Trouble, detail: str = ""
) -> Strike:
    """Something has another value meanwhile."""
    setattr(target, name, value)
    return Strike(detail, troubles, lambda: setattr(target, name, calm))
