"""Who calls the API: the bearer of an access token for this very service."""

import jwt
from django.contrib.auth.models import AbstractBaseUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from authz_changelog.revisions import generations, subjects
from authz_tokens import access

CHALLENGE = 'Bearer realm="user-service"'


class BearerAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, None] | None:
        scheme, _, token = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        try:
            claims = access.verify(token.strip())
        except jwt.ExpiredSignatureError as problem:
            raise AuthenticationFailed("The access token has expired; refresh it.") from problem
        except jwt.InvalidTokenError as problem:
            raise AuthenticationFailed("The access token is not valid for this service.") from problem
        return _user(claims["sub"], claims["authz_gen"]), None

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def _user(sub: str, generation: object) -> AbstractBaseUser:
    """The same answer whether the user is gone, inactive or has signed out."""
    user = subjects.user(sub)
    if (
        not isinstance(user, AbstractBaseUser)
        or not user.is_active
        or generations.current(user) != generation
    ):
        raise AuthenticationFailed("The access token has been ended; sign in again.")
    return user


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # registers itself, untyped
    """How the OpenAPI document describes it; found by drf-spectacular because this module is loaded."""

    target_class = BearerAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
