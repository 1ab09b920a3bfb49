"""Parsers of settings: text, as a user writes it, becomes a value.

They raise ValueError with the mend as message, and never repeat the text: it may be a secret.
"""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from authz_sidecar.config import tls
from authz_sidecar.config.addresses import base_url, items

Choice = TypeVar("Choice", bound=str)


def readable_file(text: str) -> Path:
    path = Path(text)
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"must be a file that can be read: {error.strerror}") from error
    return path


def authorities(text: str) -> ssl.SSLContext:
    """A client's context that trusts these authorities alone and checks the server's name."""
    path = readable_file(text)
    try:
        return tls.client(path)
    except ssl.SSLError as error:
        raise ValueError("must hold certificates in PEM form") from error


def collector(text: str) -> str:
    """Where traces are sent to. What sends them is installed only with the extra `otel`."""
    url = base_url(text)
    try:
        installed = all(map(find_spec, ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")))
    except ModuleNotFoundError:
        installed = False
    if not installed:
        raise ValueError("needs the extra `otel`: pip install 'authz-sidecar[otel]'")
    return url


def seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = _number(text)
        if not low <= value <= high:
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}")
        return value

    return parse


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def fraction(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return value


def count(least: int, most: int = 999_999_999) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def choice(*choices: Choice) -> Callable[[str], Choice]:
    def parse(text: str) -> Choice:
        for each in choices:
            if text == each:
                return each
        raise ValueError(f"must be {' or '.join(choices)}")

    return parse


def switch(*, off: str, on: str) -> Callable[[str], bool]:
    def parse(text: str) -> bool:
        return choice(off, on)(text) == on

    return parse


def boolean(text: str) -> bool:
    return switch(off="false", on="true")(text.lower())


def printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


def credential(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("must be visible ASCII characters without spaces")
    return text


_SIGNATURES = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)


def algorithms(text: str) -> frozenset[str]:
    algorithms = frozenset(items(text))
    if not algorithms or not algorithms <= _SIGNATURES:
        raise ValueError(
            f"must be some of {','.join(sorted(_SIGNATURES))} (no HMAC, no 'none': not public-key signatures)"
        )
    return algorithms


_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


def repeatable_methods(text: str) -> frozenset[str]:
    methods = frozenset(items(text))
    if not methods <= _REPEATABLE:
        raise ValueError(
            f"must be some of {','.join(sorted(_REPEATABLE))}: others may take effect twice when sent twice"
        )
    return methods


_UNFIT_TOKEN_HEADERS = frozenset(
    {"connection", "content-length", "cookie", "host", "origin", "transfer-encoding"}
) | {"sec-fetch-site", "sec-websocket-protocol"}


def token_header(text: str) -> str:
    # Names with "_" are dropped on every request, so a token could never arrive in one.
    if not re.fullmatch(r"[A-Za-z0-9-]+", text) or text.lower() in _UNFIT_TOKEN_HEADERS:
        raise ValueError("must be a header name of letters, digits and '-' that can carry a token")
    return text.lower()


def header_name(text: str) -> str:
    if text and (not re.fullmatch(r"[A-Za-z0-9-]+", text) or text.lower() in _UNFIT_TOKEN_HEADERS):
        raise ValueError("must be a header name of letters, digits and '-' that frames and routes nothing")
    return text


def prefix(text: str) -> str:
    if not re.fullmatch(r"[\w.:-]{1,64}", text, re.ASCII):
        raise ValueError("must be 1 to 64 letters, digits or ._:-")
    return text
