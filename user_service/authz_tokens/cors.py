"""Sign-in for single-page applications: scripts of some origins may call the token API (CORS).

Tokens travel in bodies and no cookie counts there, so no credentials are allowed.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import patch_vary_headers

from authz_tokens.conf import settings

PREFLIGHT_SECONDS = 600


class TokenCorsMiddleware:
    """Answers preflights of the token API, and lets the scripts of `AUTH_CORS_ORIGINS` read its answers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not settings.AUTH_CORS_ORIGINS or not request.path.startswith(reverse("token-obtain")):
            return self._get_response(request)
        origin = request.headers.get("Origin", "")
        allowed = origin in settings.AUTH_CORS_ORIGINS
        if allowed and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response = _preflight()
        else:
            response = self._get_response(request)
        if allowed:
            response["Access-Control-Allow-Origin"] = origin
            response["Access-Control-Expose-Headers"] = "Retry-After, WWW-Authenticate"
        patch_vary_headers(response, ["Origin"])
        return response


def _preflight() -> HttpResponse:
    headers = {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "content-type",
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return HttpResponse(status=204, headers=headers)
