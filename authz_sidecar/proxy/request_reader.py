"""Bytes from a client, made into requests. No I/O here."""

from __future__ import annotations

from collections import deque
from typing import Final

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from authz_sidecar.answers import Fault
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core import fields, target
from authz_sidecar.core.fields import FieldList
from authz_sidecar.core.verdicts import FaultCode
from authz_sidecar.proxy import framing, request_line
from authz_sidecar.proxy.messages import CHUNKED, LENGTH, NONE, PIECE_BYTES, IncomingRequest

WHOLE_BYTES: Final = 1024
SLICE_BYTES: Final = 4096
LEAST_SLICE_BYTES: Final = 256
_NO_PARSER: Final = HttpRequestParser(None)
_BLANK_LINE: Final = b"\r\n\r\n"
"""llhttp cannot be paused from Python, so bytes that may hold many requests are fed a little at a time: up to
a blank line, which ends each head, and never so little that bodies full of them take long."""

SPACE_BYTES: Final = 64
"""In a request line, for a method, a version and the white space between."""

REQUEST_BYTES: Final = 512
FIELD_BYTES: Final = 128
"""What a request and each of its fields take in memory beside the bytes that were received."""

_OTHER_VERSION: Final = ("Invalid HTTP version", "HTTP/2", "PRI", "for RTSP", "for ICE")
"""What llhttp says of versions that it does not read, and of methods that those it does read have not."""
_OTHER_METHOD: Final = "Invalid method for HTTP"

VERSION_UNSUPPORTED: Final = Fault(FaultCode.VERSION_UNSUPPORTED)
METHOD_UNKNOWN: Final = Fault(FaultCode.METHOD_UNKNOWN)
TARGET_TOO_LONG: Final = Fault(FaultCode.TARGET_TOO_LONG)
HEAD_TOO_LARGE: Final = Fault(FaultCode.HEAD_TOO_LARGE)
BODY_TOO_LARGE: Final = Fault(FaultCode.BODY_TOO_LARGE)


class RequestReader:
    """Reads the requests of one connection, strictly, in order, never far ahead of their handling."""

    def __init__(self, limits: ProxyLimits, token_header: bytes = b"authorization") -> None:
        self.requests: deque[IncomingRequest] = deque()
        """Those that nobody has taken yet. The last one, taken or not, may still be arriving."""
        self.ended = False
        """No further request can follow: a fault, the last one of the connection, or an upgrade."""
        self.scheme = b"http"
        """The listener's."""
        self._limits = limits
        self._most_fields = limits.head_fields  # asked at every field
        self._token_header = fields.fold(token_header)
        self._parser = HttpRequestParser(self)
        self.unread = b""
        """Bytes that wait here until the requests before them are handled."""
        self._target = b""
        self._piece = b""
        """What the parser is being fed."""
        self.line = b""
        """What has come in pieces of a request line whose end has not."""
        self._most_line = limits.target_bytes + SLICE_BYTES + SPACE_BYTES
        self._begins = True
        """Whether that, or what the parser is being fed, begins with the request."""
        self._names_http: bool | None = None
        """What a line that came in pieces names."""
        self._fields: FieldList = []
        self._early = b""
        """The fields of a head that came in pieces, but for the last piece's: as bytes, because objects take
        many times as much."""
        self._early_fields = 0
        self._request: IncomingRequest | None = None
        self.overhead = 0
        """Bytes since the last body byte or end of a message: heads, chunk extensions, trailers. While no
        request is under way: those of a head that has begun to arrive."""

    def feed(self, data: bytes) -> None:
        """Read on, until a whole request waits to be taken."""
        if len(data) <= WHOLE_BYTES and not (self.unread or self.requests or self.ended):
            self._feed(data)
        else:
            self._feed_slices(data)

    def resume(self) -> None:
        """Read on from what was left unread."""
        self._feed_slices(b"")

    def _feed_slices(self, data: bytes) -> None:
        data, self.unread = self.unread + data, b""
        position, size = 0, len(data)
        while position < size and not self.ended and not (self.requests and self.requests[0].complete):
            end = size if self._in_large_body(size - position) else _slice_end(data, position)
            piece = data if position == 0 and end >= size else data[position:end]
            position += len(piece)
            self._feed(piece)
        if not self.ended or self._upgrading:
            self.unread += data[position:]

    def end(self) -> None:
        """Nothing more is read, what waits is forgotten, and the parser, which knows us, is let go of."""
        self.ended, self.unread, self._request, self._parser = True, b"", None, _NO_PARSER
        self.requests.clear()
        self._target = self.line = self._early = b""
        self._fields, self._early_fields, self.overhead = [], 0, 0

    def take_unread(self) -> bytes:
        """What followed an upgrade request: the first bytes of the other protocol."""
        unread, self.unread = self.unread, b""
        return unread

    @property
    def _upgrading(self) -> bool:
        return self._request is not None and self._request.upgrade

    def _in_large_body(self, size: int) -> bool:
        """Whether so many bytes certainly hold no second request."""
        request = self._request
        return (
            request is not None
            and not request.complete
            and request.framing is LENGTH
            and request.length - request.received >= size
        )

    def _feed(self, piece: bytes) -> None:
        if not self.overhead:  # else the head of this request has begun already
            self._begins = self._in_head
        self.overhead += len(piece)
        self._piece = piece
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade as upgrade:
            self._after_upgrade_head(piece[upgrade.args[0] :])
        except HttpParserInvalidMethodError:
            self.fail(METHOD_UNKNOWN)
        except HttpParserError as error:
            self.fail(self._fault_of(error))
        else:
            if self.overhead and self._in_head and not self._keep_line(piece):
                self.fail(TARGET_TOO_LONG)
            elif self.overhead > self._limits.head_bytes:
                in_head = len(self._target) > self._limits.target_bytes
                self.fail(TARGET_TOO_LONG if in_head else HEAD_TOO_LARGE)
            elif self._fields:
                self._pack()
        self._piece = b""
        request = self._request
        if request is not None and request.complete and not request.keep_alive:
            self.ended = True

    def _keep_line(self, piece: bytes) -> bool:
        """A head goes on: keep what came of its line, and judge it once all is here. False: too long."""
        if self._names_http is not None:
            return True
        before, self.line = self.line, self.line + piece if self.line else piece.lstrip(b"\r\n")
        if b"\n" in (piece if before else self.line) and (before or self._begins):
            method, target = self._parser.get_method(), self._target
            self._names_http = request_line.names_http(self.line, method, target, first=self._begins)
            self.line = b""
        return len(self.line) <= self._most_line

    def _named_http(self, method: bytes) -> bool:
        """Of a request whose head is here: what its line named."""
        named, first, lines = self._names_http, self._begins, self.line + self._piece
        self._names_http, self._begins, self.line = None, False, b""
        if named is not None:
            return named
        if first and lines.startswith(method + b" " + self._target + b" HTTP/"):
            return True  # as nearly always
        return request_line.names_http(lines, method, self._target, first=first)

    @property
    def _in_head(self) -> bool:
        """Whether what comes is the head of a request, or before one."""
        return self._request is None or self._request.complete

    def _fault_of(self, error: HttpParserError) -> Fault:
        reason = str(error)
        if self._too_many_fields:
            return HEAD_TOO_LARGE
        if _OTHER_METHOD in reason:
            return METHOD_UNKNOWN
        if any(said in reason for said in _OTHER_VERSION) or request_line.names_other(
            self.line + self._piece
        ):
            return VERSION_UNSUPPORTED
        return framing.MALFORMED

    def fail(self, fault: Fault) -> None:
        """Give the message that is arriving a fault; nothing after it can be understood."""
        request = self._request
        self.ended, self.unread = True, b""
        if request is None or (request.complete and request.keep_alive):
            request = IncomingRequest("", b"", 1, fields.of_request([]), keep_alive=False)
            self.requests.append(request)
        elif request.complete:  # the connection's last request has been read; the rest is nothing
            return
        self._request = request
        request.keep_alive = False
        request.fault = request.fault or fault

    def _after_upgrade_head(self, rest: bytes) -> None:
        """llhttp stops at any Upgrade and at CONNECT, skipping the body; here only WebSocket ends HTTP."""
        request = self._request
        assert request is not None  # noqa: S101 (llhttp reports an upgrade after a head)
        if request.upgrade or request.method == "CONNECT":
            request.keep_alive, request.complete, self.ended = False, True, True
            self.unread = rest if request.upgrade else b""
            return
        self._parser = HttpRequestParser(self)
        if request.framing is NONE or (request.framing is LENGTH and request.length == 0):
            self._complete(request)
        else:
            self._reread_body(request)
        self.overhead = 0
        if rest:
            self._feed(rest)

    def _reread_body(self, request: IncomingRequest) -> None:
        """Put the new parser where the old one would have been: at the start of this request's body."""
        field = (
            b"Transfer-Encoding: chunked"
            if request.framing is CHUNKED
            else b"Content-Length: %d" % request.length
        )
        self._piece = b"POST / HTTP/1.1\r\nHost: -\r\n" + field + framing.CRLF * 2
        self._begins = True
        self._parser.feed_data(self._piece)
        self.requests.pop()
        self._request = request

    # llhttp calls these

    def on_url(self, part: bytes) -> None:
        self._target += part
        if not self.overhead:  # it came in one piece with the end of the message before
            self.overhead = len(part)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value.rstrip(b" \t")))
        if self._too_many_fields:
            raise HttpParserError(HEAD_TOO_LARGE.code)

    @property
    def _too_many_fields(self) -> bool:
        return len(self._fields) + self._early_fields > self._most_fields

    def _pack(self) -> None:
        """Hold the fields so far as bytes until the rest of the head, or of the trailers, is here."""
        self._early += b"".join([b"%b:%b\n" % field for field in self._fields])
        self._early_fields += len(self._fields)
        self._fields = []

    def _take_fields(self) -> FieldList:
        taken, self._fields = self._fields, []
        if self._early_fields:
            lines = self._early.split(b"\n")
            taken = [
                (name, value) for name, _, value in [line.partition(b":") for line in lines[:-1]]
            ] + taken
            self._early, self._early_fields = b"", 0
        return taken

    def on_headers_complete(self) -> None:
        parser = self._parser
        version, received, method = parser.get_http_version(), self._take_fields(), parser.get_method()
        if not self._named_http(method):
            version = ""
        request = IncomingRequest(
            method.decode("ascii"),
            self._target,
            0 if version == "1.0" else 1,
            fields.of_request(received),
            keep_alive=parser.should_keep_alive(),
        )
        if request.target[:1] != b"/":
            hosts = request.fields.known.get(b"host", ())
            request.target = target.origin_form(request.target, request.method, self.scheme, hosts)
        request.held_bytes = REQUEST_BYTES + FIELD_BYTES * len(received) + self.overhead
        request.fault = self._judge(request, version)
        self._target = b""
        if request.upgrade:
            request.upgrade = parser.should_upgrade()
        self._request = request
        self.requests.append(request)
        if request.fault is not None:
            request.keep_alive = False
            raise HttpParserError(request.fault.code)

    def _judge(self, request: IncomingRequest, version: str) -> Fault | None:
        limits = self._limits
        if version not in ("1.1", "1.0"):
            return VERSION_UNSUPPORTED
        if len(request.target) > limits.target_bytes:
            return TARGET_TOO_LONG
        if self.overhead + SLICE_BYTES > limits.head_bytes and _head_bytes(request) > limits.head_bytes:
            return HEAD_TOO_LARGE
        fault = framing.frame_request(request)
        if fault is None and limits.body_bytes is not None and request.length > limits.body_bytes:
            return BODY_TOO_LARGE
        return fault

    def on_body(self, part: bytes) -> None:
        request = self._request
        assert request is not None  # noqa: S101 (llhttp reports a body after a head)
        self.overhead = 0
        request.body.append(part)
        request.body_bytes += PIECE_BYTES + len(part)
        request.received += len(part)
        limit = self._limits.body_bytes
        if limit is not None and request.received > limit:
            request.fault = BODY_TOO_LARGE
            raise HttpParserError(BODY_TOO_LARGE.code)

    def on_message_complete(self) -> None:
        request = self._request
        assert request is not None  # noqa: S101 (llhttp ends a message after its head)
        self.overhead = 0
        if self._fields or self._early_fields:
            request.trailers = [
                field for field in self._take_fields() if fields.fold(field[0]) != self._token_header
            ]
        if not self._parser.should_upgrade():
            self._complete(request)

    def _complete(self, request: IncomingRequest) -> None:
        request.complete = True
        if request.keep_alive:
            self._request = None  # whoever takes it holds it, and nobody else


def _slice_end(data: bytes, position: int) -> int:
    """Where the bytes from `position` on are cut."""
    furthest = position + SLICE_BYTES
    blank = data.find(_BLANK_LINE, position + LEAST_SLICE_BYTES, furthest)
    return furthest if blank < 0 else blank + len(_BLANK_LINE)


def _head_bytes(request: IncomingRequest) -> int:
    """The size of a head as received, but for optional white space."""
    line = len(request.method) + len(request.target) + len("  HTTP/1.1\r\n")
    return line + sum(len(name) + len(value) + len(": \r\n") for name, value in request.fields.received)
