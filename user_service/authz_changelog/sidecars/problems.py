"""Refusals of the sidecars' API: problem+json (RFC 9457) with a stable `code`."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from django.db import DatabaseError
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler as framework_handler

from authz_changelog.revisions.errors import NotProved, SequencingFailed

logger = logging.getLogger(__name__)


class Refusal(APIException):
    """Another answer than the one that was asked for; `members` are added to its JSON."""

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.members = members


class HistoryGone(Refusal):
    status_code = status.HTTP_410_GONE
    default_code = "history_gone"


class UnknownSubject(Refusal):
    status_code = status.HTTP_404_NOT_FOUND
    default_detail = "There is no such user."
    default_code = "unknown_subject"


class Unproved(Refusal):
    """Like `Unavailable`, but somebody must do something."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unproved"
    wait = 1


class Unavailable(Refusal):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The change log cannot be read now."
    default_code = "unavailable"
    wait = 1
    """Seconds, for `Retry-After`."""


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """What an exception becomes in an answer of these views."""
    if isinstance(error, NotProved):
        error = Unproved(f"Nothing can be proved: {error}.")
    elif isinstance(error, DatabaseError | SequencingFailed):
        logger.warning("%s cannot be answered now: %s", context["request"].path, error)
        error = Unavailable()
    elif isinstance(error, RecursionError):
        error = ParseError("nested too deeply")
    response = framework_handler(error, context)
    if response is not None and isinstance(error, APIException):
        response.data = _problem(error)
        response.content_type = "application/problem+json"
    return response


def _problem(error: APIException) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(error.status_code).phrase,
        "status": error.status_code,
        **_particulars(error),
    }


def _particulars(error: APIException) -> dict[str, Any]:
    match error:
        case ValidationError(detail=dict() as fields):
            name, messages = next(iter(fields.items()))
            return _malformed("body" if name == api_settings.NON_FIELD_ERRORS_KEY else name, messages[0])
        case ParseError():
            return _malformed("body", str(error.detail))
        case Refusal():
            return {"code": error.default_code, "detail": str(error.detail), **error.members}
    return {"code": error.default_code, "detail": str(error.detail)}


def _malformed(field: str, message: str) -> dict[str, Any]:
    return {"code": "malformed", "detail": f"{field}: {message}", "field": field}
