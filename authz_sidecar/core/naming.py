"""By which of their fields the log of permissions names users.

A subject counts together with its issuer, which says what of the User service's users its tokens name. The
log names a user once for each field that the service says, all with the same state: what the *main* field
says is the key of the entity as it is; what another says has the field's name before it, and between the two
a character that no token can claim. So no subject of one field is ever mistaken for another's, whatever it
says, and whatever else is known of the service.

The fields are the same in all of an epoch, and are told wherever one begins to follow it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from authz_sidecar.core.entities import EntityKey
from authz_sidecar.core.verdicts import Identity

SEPARATOR: Final = "\x1f"
"""Tokens that hold control characters are refused (`authn.claims`)."""

Fields = tuple[str, ...] | None
"""The main one first. `None`: the service does not say, and there is but one that could be meant."""


def agreed(told: Fields, asked: Collection[str]) -> Fields:
    """What holds where issuers name users by the fields that are `asked`: several must have been told."""
    return () if told is None and len(asked) > 1 else told


def entity_key(identity: Identity, fields: Fields) -> EntityKey | None:
    """What the log calls who asks; `None` where it does not name users by that field."""
    field = identity.user_field
    if field is None or fields is None or (fields and fields[0] == field):
        return EntityKey("user", identity.subject)
    return EntityKey("user", field + SEPARATOR + identity.subject) if field in fields else None


def subject(key: str) -> str:
    """What a token would claim that names the user of this key, by whichever field."""
    return key.rpartition(SEPARATOR)[2]


def missing(fields: Fields, asked: Collection[str]) -> str:
    """What is wrong when tokens name users by fields that the log does not name them by; else empty."""
    lacking = [] if fields is None else sorted(set(asked) - set(fields))
    if not lacking:
        return ""
    if not fields:
        return f"the User service does not say whether it names its users by {' and '.join(sorted(asked))}"
    return f"the User service names its users by {', '.join(fields)}, not by {', '.join(lacking)}"
