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
_LINE: Final = b": ".join
_SIZES: Final = frozenset(map(len, (b"te", b"host", b"upgrade", b"content-length", b"transfer-encoding")))


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
        elif lower == b"te":
            request.te += b"," + value.lower()
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
    if request.te:
        fields = [field for field in fields if field[0].lower() != b"te"]
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.target), *map(_LINE, fields)]
    if request.framing is Framing.CHUNKED:
        lines.append(b"Transfer-Encoding: chunked")
    if request.minor == 0 and not any(name.lower() == b"host" for name, _ in fields):
        lines.append(b"Host: " + authority)
    if upgrade:
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket")
    elif b"trailers" in request.te:
        lines.append(b"TE: trailers\r\nConnection: TE")
    lines.append(CRLF)
    return CRLF.join(lines)


def response_head(status: int, reason: bytes, fields: Fields, hop: tuple[bytes, ...]) -> bytes:
    """The head to send downstream. `hop` holds this hop's own fields as lines."""
    if status < 200 or status == 204:  # never a body, whatever it says (RFC 9110 §8.6)
        fields = [field for field in fields if field[0].lower() != b"content-length"]
    return CRLF.join([b"HTTP/1.1 %d %b" % (status, reason), *map(_LINE, fields), *hop, CRLF])


def chunk(data: bytes) -> bytes:
    """One chunk; nothing for no data, since an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers: Fields) -> bytes:
    """The end of a chunked body. `trailers` are the ones sent on."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"".join([b"0\r\n", *(b"%b: %b\r\n" % field for field in trailers), CRLF])
