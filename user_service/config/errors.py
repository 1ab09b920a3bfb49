"""What an exception becomes in an answer, beyond Django REST framework's own table.

The API's views ask `exception_handler`; the middleware asks for every other page, and for what is no
matter of the API but of the service.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.utils.html import escape
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ParseError
from rest_framework.response import Response
from rest_framework.views import exception_handler as framework_handler

from accounts.models import User

PROBLEM = "application/problem+json"
VANISHED = (User.DoesNotExist, Group.DoesNotExist, Permission.DoesNotExist)


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "Somebody changed the same thing at the same time. Read it again and repeat your change."
    default_code = "conflict"


class Unavailable(APIException):
    """The database is away, or kept locked, or gave up this transaction in favour of another."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The database cannot do this now. Nothing was changed; try again."
    default_code = "unavailable"
    wait = 1
    """Seconds, for `Retry-After`."""


def refusal(exc: Exception) -> APIException | None:
    """What an exception that is no fault of ours means to the caller."""
    if isinstance(exc, APIException):
        return exc
    if isinstance(exc, IntegrityError):
        return Conflict()
    if isinstance(exc, (OperationalError, InterfaceError)):
        return Unavailable()
    if isinstance(exc, VANISHED) or _saved_nothing(exc):
        return NotFound("It does not exist any more.")
    if isinstance(exc, RecursionError):
        return ParseError("The body is nested too deeply.")
    if isinstance(exc, UnreadablePostError):
        return ParseError("The body did not arrive.")
    return None


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    refused = refusal(exc)
    if isinstance(refused, Unavailable):
        return None  # left to the middleware, which answers it alike everywhere
    return framework_handler(refused or exc, context)


def answer(request: HttpRequest, refused: APIException) -> HttpResponse:
    """A problem (RFC 9457), or a page for who prefers one."""
    title = HTTPStatus(refused.status_code).phrase
    wait = getattr(refused, "wait", None)
    headers = {} if wait is None else {"Retry-After": str(wait)}
    if request.get_preferred_type([PROBLEM, "application/json", "text/html"]) == "text/html":
        page = f"<!doctype html><title>{title}</title><h1>{title}</h1><p>{escape(refused.detail)}</p>"
        return HttpResponse(page, status=refused.status_code, headers=headers)
    body = {"type": "about:blank", "title": title, "status": refused.status_code, "detail": refused.detail}
    return JsonResponse(body, status=refused.status_code, content_type=PROBLEM, headers=headers)


class RefusalMiddleware:
    """Answers what a view did not catch and `refusal` knows."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        refused = refusal(exception)
        return None if refused is None else answer(request, refused)


def _saved_nothing(exc: Exception) -> bool:
    """Django's own complaint that a row to update is gone; what a driver complains of has a cause."""
    return type(exc) is DatabaseError and exc.__cause__ is None
