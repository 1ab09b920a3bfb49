"""The answer of pages that sign in, as Django's admin, to whoever has too many attempts."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from authz_tokens.throttling import TooManyAttempts


class TooManyAttemptsMiddleware:
    """429 with `Retry-After`; views of Django REST framework answer so by themselves."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, TooManyAttempts):
            return None
        headers = {"Retry-After": str(int(getattr(exception, "wait", None) or 1))}
        return HttpResponse(str(exception.detail), status=429, content_type="text/plain", headers=headers)
