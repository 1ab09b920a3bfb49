"""The credentials of sidecars: several may be valid at once, so that they can be exchanged without a gap."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time

from django.db import DatabaseError

from authz_changelog import clock
from authz_changelog.models import ServiceToken
from authz_changelog.revisions.transactions import at_once

logger = logging.getLogger(__name__)

MINIMUM_LENGTH = 20
NOTED_SECONDS = 30.0
_noted: dict[str, float] = {}
"""When this process noted last that a token was used."""


def issue(name: str) -> str:
    """A new token. It is not kept: this is the only time it can be seen."""
    token = secrets.token_urlsafe(32)
    register(name, token)
    return token


def register(name: str, token: str) -> bool:
    """Accept a token that was made elsewhere; False when it was accepted already.

    Raises `ValueError` for a token that is too short to be random, or that was revoked.
    """
    if len(token) < MINIMUM_LENGTH:
        raise ValueError(f"a service token has at least {MINIMUM_LENGTH} characters")
    known, created = ServiceToken.objects.get_or_create(digest=_digest(token), defaults={"name": name})
    if known.revoked_at:
        raise ValueError(f"this token was revoked on {known.revoked_at:%Y-%m-%d}; use another one")
    return created


def is_valid(token: str) -> bool:
    """Whether a sidecar may be let in with it; that it was used is noted now and then."""
    digest = _digest(token)
    valid = ServiceToken.objects.filter(revoked_at=None)
    found = [each for each in valid if hmac.compare_digest(digest, each.digest)]  # a list: no early exit
    for used in found:
        _note_use(used)
    return bool(found)


def _note_use(token: ServiceToken) -> None:
    """At most once in `NOTED_SECONDS` by each process, and only where that keeps nobody waiting."""
    at = time.monotonic()
    if at - _noted.get(token.digest, -NOTED_SECONDS) < NOTED_SECONDS:
        return
    _noted[token.digest] = at
    try:
        with at_once():
            tokens = ServiceToken.objects.select_for_update(skip_locked=True).filter(pk=token.pk)
            ServiceToken.objects.filter(pk__in=list(tokens.values_list("pk", flat=True))).update(
                last_used_at=clock.now()
            )
    except DatabaseError as error:
        logger.warning("It cannot be noted now that the token of %s was used: %s", token.name, error)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
