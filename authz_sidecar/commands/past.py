"""What users and groups held at a moment of the past, by the archive: to explain what was decided then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

from authz_sidecar.archive import timeline
from authz_sidecar.archive.files import ArchiveBroken
from authz_sidecar.archive.timeline import State, Timeline
from authz_sidecar.core import naming
from authz_sidecar.core.decision import decide
from authz_sidecar.core.entities import Entity, EntityKey, GroupState, RevisionToken
from authz_sidecar.core.errors import ConfigurationError, Problem
from authz_sidecar.core.verdicts import Code, Identity, Question, Requirement, Verdict
from authz_sidecar.explain import Groups


@dataclass(frozen=True, slots=True)
class Past:
    """Implements `core.ports.Authorizer` and `explain.Holdings` over one moment."""

    state: State

    def authorize(self, question: Question, now: float) -> Verdict:
        """Always fresh: it was so."""
        found = decide(question, self.state, 0.0, inf, 0.0, inf)
        if isinstance(found, Verdict):
            return found
        return Verdict(Code.BEHIND, "the revision that it names is not that of the moment")

    def entity(self, key: EntityKey) -> Entity | None:
        return self.state.entity(key)

    def user(self, identity: Identity) -> EntityKey | None:
        return self.state.user(identity)

    async def groups(self) -> Groups:
        known = (self.state.entity(key) for key in self.state.timeline.entities)
        found = {each.key.key: each.state for each in known if isinstance(each.state, GroupState)}
        return Groups(found, whole=True)

    def last_change(
        self, subject: str, requirement: Requirement, user_field: str | None = None
    ) -> dict[str, Any] | None:
        """The revision that made the verdict what it is, and what it was before; `None`: it always was."""
        identity = Identity(subject, "", inf, None, None, None, issued_after=inf, user_field=user_field)
        question = Question(identity, requirement, None)
        code = self.authorize(question, 0.0).code
        for before, after in self.state.earlier():
            was = Past(before).authorize(question, 0.0).code
            if was is not code:
                position = after.position
                return {"revision": str(position.token), "at": position.at, "text": None, "before": was.value}
        return None


def load(archive: Path, wanted: Callable[[EntityKey], bool] = lambda key: True) -> Timeline:
    """Raises ConfigurationError."""
    try:
        found = timeline.load(archive, wanted)
    except OSError as error:
        raise _wrong(f"{archive}: cannot be read: {error.strerror}") from error
    except ArchiveBroken as error:
        raise _wrong(str(error)) from error
    if not found.moments:
        raise _wrong(f"{archive}: nothing is recorded there yet")
    return found


def at(archive: Path, subject: str | None, when: str | None) -> Past:
    """The moment of a revision token or a time; `None`: the newest. Raises ConfigurationError."""
    known = load(archive, lambda key: key.kind == "group" or naming.subject(key.key) == subject)
    if when is None:
        return Past(State(known, len(known.moments) - 1))
    found = _moment(known, when)
    if found is None:
        first, last = known.moments[0], known.moments[-1]
        held = f"{first.position.token} ({first.position.at}) to {last.position.token} ({last.position.at})"
        raise ConfigurationError([Problem("--at", f"{when}: the archive holds {held}")])
    return Past(found)


def _moment(known: Timeline, when: str) -> State | None:
    try:
        return known.at_token(RevisionToken.parse(when))
    except ValueError:
        pass
    try:
        instant = datetime.fromisoformat(when)
    except ValueError:
        message = f"must be a revision like 3f2a9c1b.1234 or a time like 2026-11-20T08:00:00Z, not {when!r}"
        raise ConfigurationError([Problem("--at", message)]) from None
    return known.at_time(instant.replace(tzinfo=instant.tzinfo or UTC).timestamp())


def _wrong(message: str) -> ConfigurationError:
    return ConfigurationError([Problem("--archive", message)])
