"""Why something elsewhere gave no answer, in the field's words.

A library's own, and the names of its exceptions, say nothing to an operator; some hold a password.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Final

import aiohttp

Words = Mapping[type[BaseException], str]
"""What a library's exceptions mean; the first that fits counts."""

_HTTP: Final[Words] = {
    aiohttp.ConnectionTimeoutError: "no connection in time",
    aiohttp.ServerTimeoutError: "no answer in time",
    aiohttp.ServerDisconnectedError: "the connection ended without an answer",
    aiohttp.ClientPayloadError: "the answer was cut off",
    aiohttp.InvalidURL: "it is not asked by HTTP",
    aiohttp.ClientResponseError: "the answer is not HTTP",
}
_SYSTEM: Final[Words] = {
    ConnectionRefusedError: "connection refused",
    ConnectionError: "the connection was ended from there",
    TimeoutError: "no answer in time",
    socket.gaierror: "the name is not known",
}
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


def reason(error: BaseException, words: Words = _HTTP) -> str:
    """In a few words, without a place. `words`: of the library that raised it, if it is not that for HTTP."""
    for each in _causes(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {each.verify_message}"
        if isinstance(each, ssl.SSLError):
            return "TLS cannot be agreed on"
        if (known := _said(each, words) or _said(each, _SYSTEM)) is not None:
            return known
        if isinstance(each, OSError) and (told := _by_number(each)) is not None:
            return told
    return "no usable answer"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, after those that it was raised for: they know more."""
    inner = getattr(error, "os_error", None) or error.__cause__ or error.__context__
    if isinstance(inner, BaseException) and inner is not error:
        yield from _causes(inner)
    yield error


def _said(error: BaseException, words: Words) -> str | None:
    return next((text for kind, text in words.items() if isinstance(error, kind)), None)


def _by_number(error: OSError) -> str | None:
    """Of several addresses that were tried, the last one counts: they are one server's."""
    numbers = [error.errno] if error.errno else [int(each) for each in _ERRNO.findall(str(error))]
    if not numbers or numbers[-1] is None:
        return None
    return _said(OSError(numbers[-1], ""), _SYSTEM) or os.strerror(numbers[-1])
