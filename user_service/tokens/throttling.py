"""The limit on attempts to sign in, the same for the API, the admin and the browsable API."""

import hashlib
from datetime import UTC, datetime

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from tokens.services import count_attempt


class LoginThrottle(SimpleRateThrottle):
    """Per user name and client address: guessing is slow, and nobody is locked out by somebody elsewhere."""

    scope = "login"

    def get_rate(self) -> str | None:
        return settings.AUTH_LOGIN_RATE or None

    def allow_request(self, request: Request | HttpRequest, view: object) -> bool:
        if self.rate is None:
            return True
        self.window_ends = (self.timer() // self.duration + 1) * self.duration
        window_ends = datetime.fromtimestamp(self.window_ends, UTC)
        return count_attempt(who=self._who(request), window_ends=window_ends) <= self.num_requests

    def wait(self) -> float:
        return self.window_ends - self.timer()

    def _who(self, request: Request | HttpRequest) -> str:
        """Hashed, because what people type into the name field is sometimes their password."""
        body = request.data if isinstance(request, Request) else request.POST
        username = body.get("username", "") if hasattr(body, "get") else ""
        who = f"{str(username).casefold()}\0{self.get_ident(request)}"
        return hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest()
