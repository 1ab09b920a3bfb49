"""What all calls of the sidecars' API have in common: who may call, and how failures are answered."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from django.db import DatabaseError, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from authz_changelog import clock
from authz_changelog.models import Head
from authz_changelog.revisions import sequencer
from authz_changelog.revisions.errors import SequencingFailed
from authz_changelog.revisions.transactions import one_snapshot
from authz_changelog.sidecars import service_tokens
from authz_changelog.sidecars.problems import Problem

logger = logging.getLogger(__name__)
View = Callable[..., HttpResponseBase]


class Present(NamedTuple):
    """`head` contains everything that was committed before `now`."""

    head: Head
    now: datetime


def sidecar_call(method: str) -> Callable[[View], View]:
    """A view for sidecars: authenticated by a service token, never in the request's own transaction."""

    def decorate(view: View) -> View:
        @csrf_exempt  # no cookie is ever looked at
        @transaction.non_atomic_requests
        @never_cache
        @functools.wraps(view)
        def call(request: HttpRequest, **parameters: Any) -> HttpResponseBase:
            try:
                _admit(request, method)
                return view(request, **parameters)
            except Problem as problem:
                return problem.response()
            except (DatabaseError, SequencingFailed) as error:
                logger.warning("%s cannot be answered now: %s", request.path, error)
                return _unavailable().response()

        return call

    return decorate


def bring_up_to_date() -> None:
    """While a lot is pending sidecars must neither occupy every thread nor be in the way of small changes."""
    sequencer.refuse_while_others_do_it()
    sequencer.sequence(within=1)


@contextmanager
def present() -> Iterator[Present]:
    """The present state of the log, in one snapshot of the database."""
    now = clock.now()
    bring_up_to_date()
    with one_snapshot():
        yield Present(Head.objects.get(), now)


def _admit(request: HttpRequest, method: str) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not service_tokens.is_valid(token.strip()):
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "unauthorized",
            "This API needs a service token: Authorization: Bearer <token> (manage.py new_service_token).",
            headers={"WWW-Authenticate": 'Bearer realm="authz"'},
        )
    if request.method != method:
        raise Problem(
            HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", f"Use {method}.", headers={"Allow": method}
        )


def _unavailable() -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "The change log cannot be read now.",
        headers={"Retry-After": "1"},
    )
