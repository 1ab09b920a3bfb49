"""Tells the author of a change from which revision on it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse

from authz_changelog.revisions import sequencer
from authz_changelog.revisions.revision_token import revision_token

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
NOT_WRITING = ("SELECT", "BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET", "PRAGMA")


class RevisionHeaderMiddleware:
    """Adds `Authz-Revision` to successful answers of requests that wrote to the database.

    It is the revision token of a state that contains what was written. Where that cannot be said the
    answer goes without: a success stays a success.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method in SAFE_METHODS:
            return self.get_response(request)
        writes = _Writes()
        with connection.execute_wrapper(writes):
            response = self.get_response(request)
        if writes.since is None or response.status_code >= 400:
            return response
        if token := revision_token(writes.since):
            response.headers["Authz-Revision"] = token
        return response


class _Writes:
    """Notices the first statement that writes, and which mark was the last one before it."""

    since: int | None = None

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if self.since is None and not sql.lstrip(" \n(").upper().startswith(NOT_WRITING):
            self.since = sequencer.last_mark()
        return execute(sql, params, many, context)
