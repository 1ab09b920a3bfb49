"""What an exception becomes in an answer of the API, beyond Django REST framework's own table."""

from typing import Any

from django.db import IntegrityError
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.response import Response
from rest_framework.views import exception_handler as framework_handler


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "Somebody changed the same thing at the same time. Read it again and repeat your change."
    default_code = "conflict"


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    if isinstance(exc, IntegrityError):
        exc = Conflict()
    elif isinstance(exc, RecursionError):
        exc = ParseError("The body is nested too deeply.")
    return framework_handler(exc, context)
