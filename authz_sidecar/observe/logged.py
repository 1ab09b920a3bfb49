"""The decisions of the log, read back: `observe.composed` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from authz_sidecar.core.entities import Position
from authz_sidecar.core.errors import MalformedMessage
from authz_sidecar.core.verdicts import Code, Own, Requirement

CODES: Final = {code.value: code for code in Code}
_QUANTIFIERS: Final = frozenset({"anyone", "authenticated", "any", "all"})
_OUTCOMES: Final = {"allowed": True, "refused": False}


class Logged(NamedTuple):
    """A decision, as far as the log tells of it."""

    at: str
    """When it was made: RFC 3339 in UTC, so that instants compare as texts."""
    method: str
    target: str
    """Without the query, and without what looked like a token."""
    code: Code
    allowed: bool
    enforced: bool
    revoking: bool
    subject: str | None
    rule: str | None
    requirement: Requirement | None
    policy: str
    position: Position | None
    websocket: bool
    """Whether it asked to go on as WebSocket."""
    owns: bool | None = None
    """Whether what the rule's `own` is about was the asker's."""
    host: str | None = None
    """`None` where no rule named hosts."""
    user_field: str | None = None
    """What of the User service's users the subject names; `None` where the issuer does not say."""

    @property
    def would_refuse(self) -> bool:
        """Refused in word and let through all the same."""
        return not self.allowed and not self.enforced


class Reader:
    """Reads lines; what most of them share it makes once."""

    def __init__(self) -> None:
        self._requirements: dict[tuple[object, ...], Requirement] = {}
        self._position: Position | None = None

    def read(self, line: Mapping[str, Any]) -> Logged:
        """A line of type `decision`. Raises MalformedMessage, which names the field."""
        try:
            return Logged(
                at=_text(line, "at"),
                method=_text(line, "method"),
                target=_text(line, "target"),
                code=CODES[line["code"]],
                allowed=_OUTCOMES[line["outcome"]],
                enforced=_flag(line, "enforced"),
                revoking=_flag(line, "revoking"),
                subject=_optional_text(line, "subject"),
                rule=_optional_text(line, "rule"),
                requirement=self._requirement(line),
                policy=_text(line, "policy"),
                position=self._position_of(line),
                websocket=line.get("websocket") is True or line["code"] == Code.WEBSOCKET_NO_RULE,
                owns=_flag(line, "owns") if line.get("owns") is not None else None,
                host=_text(line, "host") if line.get("host") is not None else None,
                user_field=_text(line, "user_field") if line.get("user_field") is not None else None,
            )
        except KeyError as error:
            name = error.args[0]
            what = f"{name}: missing" if name not in line.values() else f"{name!r} is not known here"
            raise MalformedMessage(what) from None
        except TypeError:
            raise MalformedMessage("code, outcome: must be text") from None

    def _requirement(self, line: Mapping[str, Any]) -> Requirement | None:
        quantifier = line["quantifier"]
        if quantifier is None:
            return None
        labels, scopes = tuple(line["permissions"]), tuple(line.get("scopes", ()))
        own, claim = line.get("own"), line.get("own_claim")
        asked = (quantifier, labels, scopes, own, claim)
        known = self._requirements.get(asked)
        if known is None:
            texts = (*labels, *scopes, *(each for each in (own, claim) if each is not None))
            if quantifier not in _QUANTIFIERS or not all(isinstance(each, str) for each in texts):
                raise MalformedMessage("quantifier, permissions: are of no rule")
            owner = None if own is None else Own(own, claim)
            known = self._requirements[asked] = Requirement(quantifier, labels, owner, scopes)
        return known

    def _position_of(self, line: Mapping[str, Any]) -> Position | None:
        epoch, revision, at = line["epoch"], line["revision"], line["revision_at"]
        if revision is None:
            return None
        last = self._position
        if last is not None and (last.revision, last.at, last.epoch) == (revision, at, epoch):
            return last
        if type(revision) is not int or not isinstance(epoch, str) or not isinstance(at, str | None):
            raise MalformedMessage("epoch, revision, revision_at: name no revision")
        self._position = Position(epoch, revision, at)
        return self._position


def _text(line: Mapping[str, Any], name: str) -> str:
    value = line[name]
    if not isinstance(value, str):
        raise MalformedMessage(f"{name}: must be text")
    return value


def _optional_text(line: Mapping[str, Any], name: str) -> str | None:
    return None if line[name] is None else _text(line, name)


def _flag(line: Mapping[str, Any], name: str) -> bool:
    value = line[name]
    if not isinstance(value, bool):
        raise MalformedMessage(f"{name}: must be true or false")
    return value
