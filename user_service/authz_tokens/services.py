"""Obtain, refresh and revoke tokens."""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.utils import timezone

from authz_changelog.revisions import generations, subjects
from authz_tokens import access
from authz_tokens.conf import settings
from authz_tokens.models import SignIn


class SignInEnded(Exception):
    """The refresh token is unknown, replaced, expired or ended: the password is needed again."""


@dataclass(frozen=True)
class TokenPair:
    access: str
    refresh: str
    expires_in: int
    """Seconds until the access token expires."""
    token_type: str = "Bearer"  # noqa: S105 (a scheme, not a password)


def sign_in(*, user: AbstractBaseUser, audience: str) -> TokenPair:
    """Raises `access.NoSigningKey`."""
    generation = access.generation_to_issue(user)
    access_token = access.mint(user=user, audience=audience, generation=generation)
    now = timezone.now()
    SignIn.objects.filter(user_id=user.pk, expires_at__lte=now).delete()
    secret = _new_secret()
    family = SignIn.objects.create(
        user_id=user.pk,
        bound_to=_bond(user),
        audience=audience,
        token_generation=generation,
        digest=_digest(secret),
        expires_at=now + timedelta(seconds=settings.AUTH_REFRESH_TOKEN_SECONDS),
    )
    return _pair(access_token, family, secret)


def refresh(*, token: str) -> TokenPair:
    """Exchange a refresh token for a new pair, once. Raises `SignInEnded`, `access.NoSigningKey`.

    Not one transaction: a family that must die stays dead although the call fails.
    """
    family, secret = _parse(token)
    if not _is_alive(family):
        family.delete()
        raise SignInEnded
    access_token = access.mint(user=family.user, audience=family.audience, generation=family.token_generation)
    replacement = _new_secret()
    # Compare and swap: of two that present the same token only one gets a new one.
    newest = SignIn.objects.filter(pk=family.pk, digest=_digest(secret))
    if not newest.update(digest=_digest(replacement), refreshed_at=timezone.now()):
        family.delete()
        raise SignInEnded
    return _pair(access_token, family, replacement)


def revoke(*, token: str) -> None:
    """RFC 7009: whoever holds any token of the family may end it; an unknown one is no error."""
    try:
        family, _ = _parse(token)
    except SignInEnded:
        return
    family.delete()


def _pair(access_token: str, family: SignIn, secret: str) -> TokenPair:
    return TokenPair(
        access=access_token,
        refresh=f"{family.pk.hex}.{secret}",
        expires_in=settings.AUTH_ACCESS_TOKEN_SECONDS,
    )


def _parse(token: str) -> tuple[SignIn, str]:
    identifier, _, secret = token.partition(".")
    try:
        return SignIn.objects.select_related("user").get(pk=uuid.UUID(identifier)), secret
    except (ValueError, SignIn.DoesNotExist) as problem:
        raise SignInEnded from problem


def _is_alive(family: SignIn) -> bool:
    return (
        family.expires_at > timezone.now()
        and family.user.is_active
        and family.token_generation == generations.current(family.user)
        and family.bound_to in ("", _bond(family.user))
    )


def _bond(user: AbstractBaseUser) -> str:
    """Another password or another subject is another one."""
    return _digest(f"{subjects.of(user)}\0{user.get_session_auth_hash()}")


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


def _digest(secret: str) -> str:
    """Fast on purpose: 256 random bits need no stretching."""
    return hashlib.sha256(secret.encode()).hexdigest()
