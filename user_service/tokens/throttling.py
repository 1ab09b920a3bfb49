"""The limit on attempts to sign in, the same for the API, the admin and the browsable API."""

import hashlib

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle


class LoginThrottle(SimpleRateThrottle):
    """Per user name and client address: guessing is slow, and nobody is locked out by somebody elsewhere."""

    scope = "login"

    def get_rate(self) -> str | None:
        return settings.AUTH_LOGIN_RATE or None

    def get_cache_key(self, request: Request | HttpRequest, view: object) -> str:
        body = request.data if isinstance(request, Request) else request.POST
        username = body.get("username", "") if hasattr(body, "get") else ""
        who = f"{str(username).casefold()}\0{self.get_ident(request)}"
        return self.cache_format % {
            "scope": self.scope,
            # Hashed, because what people type into this field is sometimes their password.
            "ident": hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest(),
        }
