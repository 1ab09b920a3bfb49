"""Where messages end: judged on the way in, written anew on the way out.

llhttp in its strict mode already refuses both framings in one message, a repeated or odd Content-Length,
folded lines, bare CR or LF and a space before the colon. Here is what it lets pass and two parsers
could read differently (RFC 9112 §6.1, §6.3).
"""

from __future__ import annotations

from typing import Final

from authz_sidecar.core.headers import Fields
from authz_sidecar.proxy.messages import Fault, Framing, IncomingRequest, IncomingResponse

MALFORMED: Final = Fault(400, "malformed_request", "this is not a well-formed HTTP/1.1 request")
HOST_MISSING: Final = Fault(400, "malformed_request", "HTTP/1.1 requires a Host header")
CODING_UNSUPPORTED: Final = Fault(
    501, "transfer_coding_unsupported", "Transfer-Encoding can only be chunked, once, in HTTP/1.1"
)

CRLF: Final = b"\r\n"
_SIZES: Final = frozenset(map(len, (b"host", b"upgrade", b"content-length", b"transfer-encoding")))


def frame_request(request: IncomingRequest) -> Fault | None:
    """Fill in how the body ends and whether WebSocket is named; says what is wrong instead."""
    host = upgrade = False
    for index, (name, value) in enumerate(request.fields):
        if len(name) not in _SIZES:
            continue
        lower = name.lower()
        if lower == b"host":
            host = True
        elif lower == b"content-length":
            request.framing, request.length = Framing.LENGTH, int(value)
            request.fields[index] = (name, b"%d" % request.length)
        elif lower == b"transfer-encoding":
            if value.lower() != b"chunked" or request.minor == 0 or request.framing is Framing.CHUNKED:
                return CODING_UNSUPPORTED
            request.framing = Framing.CHUNKED
        elif lower == b"upgrade":
            upgrade = value.lower() == b"websocket"
    if not host and request.minor == 1:
        return HOST_MISSING
    request.upgrade = upgrade and request.method == "GET" and request.framing is Framing.NONE
    return None


def frame_response(response: IncomingResponse, *, to_head: bool) -> bool:
    """Fill in how the body ends; false when that cannot be known for sure."""
    response.framing = Framing.CLOSE
    for name, value in response.fields:
        if len(name) not in _SIZES:
            continue
        lower = name.lower()
        if lower == b"content-length":
            response.framing, response.length = Framing.LENGTH, int(value)
        elif lower == b"transfer-encoding":
            if value.lower() != b"chunked" or response.minor == 0:
                return False
            response.framing = Framing.CHUNKED
    if to_head or response.status in (101, 204, 304):
        response.framing = Framing.NONE
    return True


def request_head(request: IncomingRequest, fields: Fields, authority: bytes, *, upgrade: bool) -> bytes:
    """The head to send upstream. `fields` are the ones sent on, without this hop's own."""
    parts = [request.method.encode("ascii"), b" ", request.target, b" HTTP/1.1\r\n"]
    trailers = False
    for name, value in fields:
        if len(name) == 2 and name.lower() == b"te":
            trailers = b"trailers" in value.lower()
            continue
        parts += (name, b": ", value, CRLF)
    if request.framing is Framing.CHUNKED:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    if request.minor == 0 and not any(name.lower() == b"host" for name, _ in fields):
        parts.append(b"Host: " + authority + CRLF)
    if upgrade:
        parts.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
    elif trailers:
        parts.append(b"TE: trailers\r\nConnection: TE\r\n")
    parts.append(CRLF)
    return b"".join(parts)


def response_head(status: int, reason: bytes, fields: Fields, hop: bytes) -> bytes:
    """The head to send downstream. `hop` holds this hop's own fields, each ended by CRLF."""
    parts = [b"HTTP/1.1 %d %b\r\n" % (status, reason)]
    bare = status < 200 or status == 204
    for name, value in fields:
        if bare and name.lower() == b"content-length":  # never a body, whatever it says (RFC 9110 §8.6)
            continue
        parts += (name, b": ", value, CRLF)
    parts += (hop, CRLF)
    return b"".join(parts)


def chunk(data: bytes) -> bytes:
    """One chunk; nothing for no data, since an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers: Fields) -> bytes:
    """The end of a chunked body. `trailers` are the ones sent on."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"".join([b"0\r\n", *(b"%b: %b\r\n" % field for field in trailers), CRLF])
