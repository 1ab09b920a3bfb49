"""Where messages end: judged on the way in, written anew on the way out.

llhttp in its strict mode already refuses both framings in one message, a repeated or odd Content-Length,
folded lines, bare CR or LF and a space before the colon. Here is what it lets pass and two parsers
could read differently (RFC 9112 §6.1, §6.3).
"""

from __future__ import annotations

from typing import Final

from authz_sidecar.answers import Answer, Fault
from authz_sidecar.core import headers
from authz_sidecar.core.fields import FieldList
from authz_sidecar.core.verdicts import FaultCode
from authz_sidecar.proxy.messages import (
    CHUNKED,
    CLOSE,
    LENGTH,
    NONE,
    IncomingRequest,
    IncomingResponse,
    Interim,
    Message,
)

MALFORMED: Final = Fault(FaultCode.MALFORMED_REQUEST)
HOST_MISSING: Final = Fault(FaultCode.MALFORMED_REQUEST, "HTTP/1.1 requires a Host header")
CODING_UNSUPPORTED: Final = Fault(FaultCode.TRANSFER_CODING_UNSUPPORTED)

CRLF: Final = b"\r\n"
_LINE: Final = b": ".join
_ONCE: Final = frozenset({b"expect", b"upgrade"})
"""Fields of requests that are more than a question."""
_BODILESS: Final = frozenset({101, 204, 304})
"""Statuses of answers that never have a body (RFC 9110 §6.4.1)."""


def frame_request(request: IncomingRequest) -> Fault | None:
    """Fill in how the body ends and whether WebSocket is asked for; says what is wrong instead."""
    known = request.fields.known
    if b"host" not in known and request.minor == 1:
        return HOST_MISSING
    if not _take_framing(request):
        return CODING_UNSUPPORTED
    if b"upgrade" in known and request.method == "GET" and request.framing is NONE and request.minor == 1:
        request.upgrade = known[b"upgrade"][-1].lower() == b"websocket"
    return None


def repeatable(request: IncomingRequest, methods: frozenset[str]) -> bool:
    """Whether a request may be sent again although the service may have acted on it (RFC 9110 §9.2.2).

    A condition may hold no more because of the first time, and of a body nothing is kept.
    """
    bodiless = request.framing is NONE or (request.framing is LENGTH and request.length == 0)
    if request.method not in methods or not bodiless:
        return False
    names = [name.lower() for name, _ in request.fields.received]
    return not any(name in _ONCE or name.startswith(b"if-") for name in names)


def frame_response(response: IncomingResponse, *, to_head: bool) -> bool:
    """Fill in how the body ends; false when that cannot be known for sure."""
    response.framing = CLOSE
    if not _take_framing(response):
        return False
    if to_head or response.status in _BODILESS:
        response.framing = NONE
    return True


def request_head(request: IncomingRequest, sent_on: FieldList, authority: bytes) -> bytes:
    """The head to send upstream. `sent_on` are the fields that go on, without this hop's own."""
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.target), *map(_LINE, sent_on)]
    known = request.fields.known
    if request.framing is CHUNKED:
        lines.append(b"Transfer-Encoding: chunked")
    if b"host" not in known:
        lines.append(b"Host: " + authority)
    if request.upgrade:
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket")
    elif b"te" in known and any(b"trailers" in value.lower() for value in known[b"te"]):
        lines.append(b"TE: trailers\r\nConnection: TE")
    lines.append(CRLF)
    return CRLF.join(lines)


def response_head(status: int, reason: bytes, sent_on: FieldList, hop: tuple[bytes, ...]) -> bytes:
    """The head to send downstream. `hop` holds this hop's own fields as lines."""
    if status < 200 or status == 204:  # never a body, whatever it says (RFC 9110 §8.6)
        sent_on = [field for field in sent_on if field[0].lower() != b"content-length"]
    return CRLF.join([b"HTTP/1.1 %d %b" % (status, reason), *map(_LINE, sent_on), *hop, CRLF])


def streams_events(response: IncomingResponse) -> bool:
    """Whether an answer may go on for ever (server-sent events)."""
    return any(
        kind.lower().startswith(b"text/event-stream") for kind in response.fields.values(b"content-type")
    )


def switching_head(response: IncomingResponse) -> bytes:
    """The head after which the connection goes on as WebSocket."""
    hop = (b"Connection: Upgrade", b"Upgrade: websocket")
    return response_head(101, response.reason, headers.forwarded_response(response.fields), hop)


def interim_response(interim: Interim) -> bytes:
    """All of an informational response, as it is sent on."""
    return response_head(interim.status, interim.reason, headers.forwarded_response(interim.fields), ())


def answer_head(answer: Answer, more: FieldList, hop: tuple[bytes, ...]) -> bytes:
    """The head of an answer of our own, with `more` fields."""
    return response_head(answer.status, answer.reason.encode("ascii"), [*answer.headers, *more], hop)


def arrived(message: Message, *, chunked: bool) -> bytes:
    """What has arrived of a body since the last call, as it is sent on."""
    data = message.take_body() if message.body else b""
    if not chunked:
        return data
    data = chunk(data)
    return data + last_chunk(headers.forwarded_trailers(message.trailers)) if message.complete else data


def chunk(data: bytes) -> bytes:
    """One chunk; nothing for no data, since an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers: FieldList) -> bytes:
    """The end of a chunked body. `trailers` are the ones sent on."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"".join([b"0\r\n", *(b"%b: %b\r\n" % field for field in trailers), CRLF])


def _take_framing(message: Message) -> bool:
    """Fill in what the fields say of the body's end; false when it has a coding that is not understood."""
    known = message.fields.known
    if b"content-length" in known:
        _take_length(message)
    codings = known.get(b"transfer-encoding")
    if codings is not None:
        if message.minor == 0 or len(codings) != 1 or codings[0].lower() != b"chunked":
            return False
        message.framing = CHUNKED
    return True


def _take_length(message: Message) -> None:
    """llhttp has let one Content-Length of digits pass; others get it written in the one usual way."""
    (value,) = message.fields.known[b"content-length"]
    message.framing, message.length = LENGTH, int(value)
    usual = b"%d" % message.length
    if value != usual:
        message.fields.kept = [
            (name, usual if name.lower() == b"content-length" else other)
            for name, other in message.fields.kept
        ]
