"""Refusals of the sidecars' API: problem+json (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.http import JsonResponse


class Problem(Exception):
    """Ends a request with this status; `members` are added to the problem's JSON."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.body = {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "code": code,
            "detail": detail,
            **members,
        }

    def response(self) -> JsonResponse:
        return JsonResponse(
            self.body, status=self.status, content_type="application/problem+json", headers=self.headers
        )


class Malformed(Problem):
    """A parameter that cannot be understood: names it and says what is wanted."""

    def __init__(self, field: str, wanted: str) -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, "malformed", f"{field}: {wanted}", field=field)
