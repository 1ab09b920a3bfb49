"""Where a user has permissions from: directly, through which groups, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authz_sidecar.core.entities import GroupState, UserState
from authz_sidecar.core.verdicts import Requirement


@dataclass(frozen=True, slots=True)
class Held:
    """One permission that a rule names, and what gives it to a user."""

    permission: str
    direct: bool
    groups: tuple[str, ...]
    """Those of the user's groups that have it."""
    others: tuple[str, ...]
    """Groups that have it and that the user is not in."""

    @property
    def held(self) -> bool:
        return self.direct or bool(self.groups)


def held(user: UserState, requirement: Requirement, groups: Mapping[str, GroupState]) -> list[Held]:
    """For each permission of the requirement, in its order. `groups`: all that are known."""
    found = []
    for permission in requirement.permissions:
        having = sorted(key for key, state in groups.items() if permission in state.permissions)
        own = tuple(key for key in having if key in user.groups)
        others = tuple(key for key in having if key not in user.groups)
        found.append(Held(permission, permission in user.permissions, own, others))
    return found
