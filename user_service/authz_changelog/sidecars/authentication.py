"""Who may call the sidecars' API: whoever holds a valid service token."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from authz_changelog.sidecars import service_tokens


class Unauthorized(AuthenticationFailed):
    default_detail = (
        "This API needs a service token: Authorization: Bearer <token> (manage.py new_service_token)."
    )
    default_code = "unauthorized"


class ServiceTokenAuthentication(BaseAuthentication):
    """A sidecar is no user: it acts for nobody, and cookies are never looked at."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, None]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not service_tokens.is_valid(token.strip()):
            raise Unauthorized
        return AnonymousUser(), None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="authz"'
