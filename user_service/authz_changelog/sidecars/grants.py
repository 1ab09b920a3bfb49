"""What a subject holds and what it may do, read from the log's newest states."""

from __future__ import annotations

import re
from dataclasses import dataclass

from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.models import Entity
from authz_changelog.revisions.states import State

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""NUL and lone surrogates: databases refuse them, so no key has them."""


@dataclass(frozen=True)
class Grants:
    """A user's own state and the entities that decide what it may do: itself and its groups, none deleted."""

    state: State
    entities: list[Entity]
    permissions: frozenset[str]


def of(sub: str) -> Grants | None:
    """`None` when there is no such user."""
    if UNSTORABLE.search(sub):
        return None
    living = Entity.objects.filter(state__isnull=False)
    user = living.filter(kind=USER, key=sub).first()
    if user is None:
        return None
    entities = [user, *living.filter(kind=GROUP, key__in=user.parsed_state["groups"])]
    permissions = frozenset(label for entity in entities for label in entity.parsed_state["permissions"])
    return Grants(user.parsed_state, entities, permissions)


def decide(
    grants: Grants | None,
    permission: str | None,
    token_generation: int | None,
    issued_after: float | None = None,
) -> tuple[bool, str]:
    """Whether, and why: the same answer as Django's `ModelBackend`. No permission asks for a living user.

    A token without a generation is judged by the instant (Unix seconds) after which it was issued.
    """
    if grants is None:
        return False, "unknown_subject"
    if not grants.state["active"]:
        return False, "inactive"
    if not _is_valid(grants.state, token_generation, issued_after):
        return False, "token_revoked"
    if grants.state["superuser"]:
        return True, "superuser"
    if permission is None or permission in grants.permissions:
        return True, "granted"
    return False, "denied"


def _is_valid(state: State, token_generation: int | None, issued_after: float | None) -> bool:
    if token_generation is not None:
        valid: bool = token_generation == state["token_generation"]
        return valid
    ended: int | None = state.get("tokens_not_before")
    return ended is None or issued_after is None or issued_after > ended
