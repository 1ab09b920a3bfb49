"""Access tokens (RFC 9068): signed, short-lived, for one audience each."""

import time
import uuid
from typing import Any

import jwt
from django.conf import settings

from accounts.models import User
from authz_changelog.revisions import subjects
from authz_changelog.revisions.revision_token import revision_token
from tokens import keys

TYPE = "at+jwt"
REQUIRED_CLAIMS = ["iss", "aud", "sub", "iat", "exp", "jti", "authz_gen"]


class NoSigningKey(RuntimeError):
    """There is nothing to sign with."""


def audiences() -> list[str]:
    """Whom a token may be asked for; the first one is meant when nothing is said."""
    return [*settings.AUTH_AUDIENCES, settings.AUTH_OWN_AUDIENCE]


def mint(*, user: User, audience: str, generation: int | None = None) -> str:
    """A token of this generation, else of the user's as it was read. Raises `NoSigningKey`."""
    key = keys.signer()
    if key is None:
        raise NoSigningKey
    headers = {"typ": TYPE, "kid": key.kid}
    if generation is None:
        generation = user.generation_to_issue()
    return jwt.encode(
        _claims(user, audience, generation), key.private, algorithm=key.algorithm, headers=headers
    )


def _claims(user: User, audience: str, generation: int) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "iss": settings.AUTH_ISSUER,
        "aud": audience,
        "sub": subjects.of(user),
        "preferred_username": user.get_username(),
        "iat": now,
        "exp": now + settings.AUTH_ACCESS_TOKEN_SECONDS,
        "jti": str(uuid.uuid4()),
        "authz_gen": generation,
    }
    revision = revision_token()
    return claims if revision is None else {**claims, "authz_rev": revision}


def verify(token: bytes) -> dict[str, Any]:
    """The claims of a token that was issued here and for this service. Raises `jwt.InvalidTokenError`.

    Key and algorithm come from our own directory: the token only names the key.
    """
    try:
        header = jwt.get_unverified_header(token)
    except RecursionError as problem:
        raise jwt.DecodeError("nested too deeply") from problem
    if header.get("typ") != TYPE:
        raise jwt.InvalidTokenError("not an access token")
    key = next((key for key in keys.published() if key.kid == header.get("kid")), None)
    if key is None:
        raise jwt.InvalidTokenError("signed by no key of ours")
    return jwt.decode(
        token,
        key.private.public_key(),
        algorithms=[key.algorithm],
        audience=settings.AUTH_OWN_AUDIENCE,
        issuer=settings.AUTH_ISSUER,
        options={"require": REQUIRED_CLAIMS, "strict_aud": True},
    )
