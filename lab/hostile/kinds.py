"""The kinds of hostile clients. Each connection has a number, so that no two of a wave say the same."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Says = Callable[[int], bytes]

_TAIL: Final = b"Host: x\r\n"
_BLOCK: Final = b"x" * 16_384
_CLIENT_HELLO: Final = bytes.fromhex("1603010200010001fc0303")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a client of this kind does: it `says` something at once, and `goes_on` after that."""

    name: str
    says: Says
    goes_on: Says | None = None
    every: float = 1.0
    """Seconds between two times that it goes on."""
    reads: bool = True
    leaves: Literal["", "reset", "half"] = ""
    """At once, with a reset; or it closes its side only."""
    tls: bool = False
    """It is at the sidecar that speaks TLS."""
    agrees: bool = False
    """On TLS, and says it all through it."""


def _request(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    return (
        b"%b HTTP/1.1\r\n" % line + _TAIL + b"".join(b"%b\r\n" % field for field in fields) + b"\r\n" + body
    )


def _get(number: int) -> bytes:
    return _request(b"GET /students/%d/" % number)


def _refused(number: int) -> bytes:
    return _request(b"DELETE /students/%d/" % number)


def _nothing(_number: int) -> bytes:
    return b""


def _many_fields(number: int) -> bytes:
    return b"GET / HTTP/1.1\r\n" + _TAIL + b"".join(b"a%d:%d\r\n" % (n, number) for n in range(250))


def _long_names(number: int) -> bytes:
    return _request(b"GET /", b"x%d%b: 1" % (number, b"n" * 50_000))


def _options(number: int) -> bytes:
    named = b",".join(b"o%d-%d" % (number, n) for n in range(5_000))
    return _request(b"GET /", b"Connection: " + named)


def _token(key: str, number: int, size: int) -> bytes:
    def part(content: dict[str, object]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")

    head = part({"alg": "RS256", "typ": "at+jwt", "kid": key})
    claims = part({"sub": str(number), "x": "y" * size, "exp": 4_102_444_800})
    token = head + b"." + claims + b"." + b"c2ln" * 80
    return _request(b"POST /students/", b"Authorization: Bearer " + token, b"Content-Length: 0")


def _noise(number: int) -> bytes:
    return random.Random(number).randbytes(4_096)  # noqa: S311 (noise, no secret)


def _websocket(number: int) -> bytes:
    fields = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    return _request(b"GET /socket/%d" % number, *fields, b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")


def _large_body(number: int) -> bytes:
    return _request(b"POST /open/%d" % number, b"Content-Length: 100000", body=bytes(100_000))


_POST: Final = b"POST /open/x"
_CHUNKED: Final = b"Transfer-Encoding: chunked"

HARMLESS: Final = Kind("harmless", _get, _get)
"""What the others are compared with: as many connections, and a request a second on each."""
IDLE: Final = Kind("idle after a request", _get)

KINDS: Final = (
    Kind("says nothing", _nothing),
    Kind("half a request line", lambda n: b"GET /students/%d" % n),
    Kind("a head a byte at a time", lambda n: b"GET / HTTP/1.1\r\nX-%d: " % n, lambda n: b"y"),
    Kind("a head that never ends", _many_fields),
    Kind("long names of fields", _long_names, _long_names),
    Kind("many options of Connection", _options, _options, 5.0),
    Kind("long targets", lambda n: _request(b"POST /%d/" % n + b"t" * 15_000), reads=False),
    Kind("large tokens", lambda n: _token("none", n, 8_000), lambda n: _token("none", n, 8_000)),
    Kind("unknown keys", lambda n: _token(f"key-{n}", n, 1), lambda n: _token(f"key-{n}", n, 1)),
    Kind("a body that does not come", lambda n: _request(_POST, b"Content-Length: 1000000000", body=b"x")),
    Kind(
        "a body that never ends",
        lambda n: _request(_POST, _CHUNKED),
        lambda n: b"4000\r\n" + _BLOCK + b"\r\n",
        2.0,
    ),
    Kind(
        "extensions of chunks",
        lambda n: _request(_POST, _CHUNKED, body=b"1;" + b"e" * 50_000),
        lambda n: b"e" * 1_000,
    ),
    Kind("many refusals in a row", lambda n: _refused(n) * 10, lambda n: _refused(n) * 10, 5.0),
    Kind("refusals that nobody reads", lambda n: _refused(n) * 40, reads=False),
    Kind("answers that nobody reads", lambda n: _request(b"GET /large"), reads=False),
    Kind("more behind an answer that hangs", lambda n: _request(b"GET /slow") + _get(n) * 5_000),
    Kind("leaves with a reset", _get, leaves="reset"),
    Kind("half a request, and half closed", lambda n: b"POST /open/%d HTTP/1.1\r\n" % n, leaves="half"),
    Kind("noise", _noise),
    Kind("WebSockets that say nothing", _websocket),
    Kind("no TLS where TLS is spoken", _nothing, tls=True),
    Kind("half a hello of TLS", lambda n: _CLIENT_HELLO, lambda n: b"\0", tls=True),
    Kind("nothing through TLS", _nothing, tls=True, agrees=True),
    Kind("large bodies through TLS", _large_body, tls=True, agrees=True),
)
