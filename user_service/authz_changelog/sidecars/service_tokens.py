"""The credentials of sidecars: several may be valid at once, so that they can be exchanged without a gap."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from authz_changelog.models import ServiceToken

MINIMUM_LENGTH = 20


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
    digest = _digest(token)
    valid = ServiceToken.objects.filter(revoked_at=None).values_list("digest", flat=True)
    return any([hmac.compare_digest(digest, each) for each in valid])  # a list: no early exit


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
