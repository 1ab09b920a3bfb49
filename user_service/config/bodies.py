"""How large a request's body may be. Judged before a byte of it is read, let alone written to a file.

Who has not shown who they are may send as much as a sign-in takes; who is signed in, as much as the API
takes. Files count like everything else: this service has no use for any.
"""

import io
import socket
import ssl
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request

from authz_tokens.authentication import BearerAuthentication
from config import errors

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
SILENCE_SECONDS = 5.0
"""How long a thread waits for the next bytes of a body."""


class TooLarge(APIException):
    status_code = 413
    default_code = "too_large"


class BodyLimitMiddleware:
    """Stands behind the authentication middleware, which knows who has a session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = _length(request.META)
        limit = settings.ANONYMOUS_BODY_BYTES
        if length > limit and _is_signed_in(request):
            limit = settings.BODY_BYTES
        if length <= limit:
            return self.get_response(request)
        _stop_reading(request.META)
        return errors.answer(request, TooLarge(f"The body may have {limit} bytes at most."))


def bounded(application: Application) -> Application:
    """What the middleware cannot do: a body in chunks says no length, and Django takes it for empty.

    As much as anybody may send is read of it, and then it has a length; a longer one has one that is refused.
    """

    def with_length(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        chunked = "HTTP_TRANSFER_ENCODING" in environ
        if "gunicorn.socket" in environ and (chunked or _length(environ)):
            environ["gunicorn.socket"].settimeout(SILENCE_SECONDS)
        if chunked:
            body = environ["wsgi.input"].read(settings.ANONYMOUS_BODY_BYTES + 1)
            length = len(body) if len(body) <= settings.ANONYMOUS_BODY_BYTES else sys.maxsize
            environ["CONTENT_LENGTH"], environ["wsgi.input"] = str(length), io.BytesIO(body)
        return application(environ, start_response)

    return with_length


def _length(environ: Environ) -> int:
    """As Django reads it: what is no number is nothing."""
    try:
        return int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def _is_signed_in(request: HttpRequest) -> bool:
    try:
        return (
            request.user.is_authenticated or BearerAuthentication().authenticate(Request(request)) is not None
        )
    except AuthenticationFailed:
        return False


def _stop_reading(environ: Environ) -> None:
    """Else gunicorn would wait for the rest, with a thread, so as to use the connection again."""
    connection = environ.get("gunicorn.socket")
    if connection is not None and not isinstance(connection, ssl.SSLSocket):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RD)
