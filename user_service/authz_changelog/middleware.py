"""Requests and the change log: who makes a change, and from which revision on it holds."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse

from authz_changelog.marks import actors
from authz_changelog.marks.actors import Actor
from authz_changelog.revisions import generations, proof, sequencer
from authz_changelog.revisions.revision_token import revision_token

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
NOT_WRITING = ("SELECT", "BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET", "PRAGMA")
LONGEST = max(map(len, NOT_WRITING))


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
        if token := revision_token(writes.since, looked=proof.looked.get()):
            response.headers["Authz-Revision"] = token
        return response


class _Writes:
    """Notices statements that write, and which mark was the last one before the first of them."""

    since: int | None = None

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.lstrip(" \n(")[:LONGEST].upper().startswith(NOT_WRITING):
            proof.looked.set(False)
            if self.since is None:
                self.since = sequencer.last_mark()
        return execute(sql, params, many, context)


REQUEST_ID = "X-Request-Id"
USABLE_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)


class ActorMiddleware:
    """What a request writes is the doing of its user; the answer names the request.

    Also of a user who is authenticated only later, by a view of Django REST framework: it is asked for when
    something is written.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method in SAFE_METHODS:
            return self.get_response(request)
        asker = _Asker(request)
        with actors.asked_by(asker.author):
            response = self.get_response(request)
        response.headers.setdefault(REQUEST_ID, asker.id)
        return response


class _Asker:
    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def id(self) -> str:
        """The client's own, where it is one."""
        given = self._request.headers.get(REQUEST_ID, "")
        return given if USABLE_ID.fullmatch(given) else uuid.uuid4().hex

    def author(self) -> Actor:
        user = getattr(self._request, "user", None)
        if user is None or not user.is_authenticated:
            return Actor("nobody", way=self._way, request=self.id)
        return Actor(user.get_username(), generations.text(user.pk), self._way, self.id)

    @property
    def _way(self) -> str:
        match = self._request.resolver_match
        if match is None:
            return actors.WEB
        if "admin" in match.app_names:
            return actors.ADMIN
        return actors.API if hasattr(match.func, "cls") else actors.WEB
