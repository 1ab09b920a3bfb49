"""Access tokens (RFC 9068): signed, short-lived, for one audience each."""

import time
import uuid
from typing import Any

import jwt
from django.contrib.auth.models import AbstractBaseUser

from authz_changelog.revisions import generations, subjects
from authz_changelog.revisions.revision_token import revision_token
from authz_tokens import keys
from authz_tokens.conf import settings

TYPE = "at+jwt"
REQUIRED_CLAIMS = ["iss", "aud", "sub", "iat", "exp", "jti", "authz_gen"]


class NoSigningKey(RuntimeError):
    """There is nothing to sign with."""


def audiences() -> list[str]:
    """Whom a token may be asked for; the first one is meant when nothing is said."""
    return [*settings.AUTH_AUDIENCES, settings.AUTH_OWN_AUDIENCE]


def mint(*, user: AbstractBaseUser, audience: str, generation: int | None = None) -> str:
    """A token of this generation, else of the user's as it was read. Raises `NoSigningKey`."""
    key = keys.signer()
    if key is None:
        raise NoSigningKey
    headers = {"typ": TYPE, "kid": key.kid}
    if generation is None:
        generation = generation_to_issue(user)
    return jwt.encode(
        _claims(user, audience, generation), key.private, algorithm=key.algorithm, headers=headers
    )


def generation_to_issue(user: AbstractBaseUser) -> int:
    """For tokens of this user as it was read: void where a password, say, has changed since."""
    generation = generations.current(user)
    fields = {field.attname for field in user._meta.concrete_fields}
    parts = ("pk", "is_active", "password", "token_generation")
    as_read = {name: getattr(user, name) for name in parts if name == "pk" or name in fields}
    return generation if type(user)._base_manager.filter(**as_read).exists() else max(generation - 1, 0)


def _claims(user: AbstractBaseUser, audience: str, generation: int) -> dict[str, Any]:
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
        header = jwt.get_unverified_header(
            token.partition(b".")[0] + b".."
        )  # the rest is read when it is verified
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
