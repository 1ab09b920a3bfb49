"""Bytes from the upstream, made into one response at a time. No I/O here."""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core import fields
from authz_sidecar.core.fields import FieldList
from authz_sidecar.proxy import framing
from authz_sidecar.proxy.head_lines import HeadLines
from authz_sidecar.proxy.messages import CLOSE, NONE, IncomingResponse, Interim

_NO_PARSER: Final = HttpResponseParser(None)


class ResponseReader:
    """Reads the responses on one connection. What cannot be understood for sure is `broken`."""

    def __init__(self, limits: ProxyLimits) -> None:
        self.interims: list[Interim] = []
        self.response: IncomingResponse | None = None
        self.broken = False
        """The connection carries something else than one well-formed response to each request."""
        self.unread = b""
        """What followed a 101: the first bytes of the other protocol."""
        self._limits = limits
        self._parser = HttpResponseParser(self)
        self._to_head = False
        self._upgrade = False
        self.awaiting = False
        """A request is sent and its answer has not come in full."""
        self._lines = HeadLines()
        self._reason = b""
        self._fields: FieldList = []
        self._overhead = 0

    def expect(self, *, to_head: bool, upgrade: bool = False) -> None:
        """A request is sent: with HEAD no body follows its answer, with an upgrade 101 may."""
        self.response = None
        self._to_head = to_head
        self._upgrade = upgrade
        self.awaiting = True
        self._lines.begin()

    def feed(self, data: bytes) -> None:
        """Read on. `interims`, `response` and `broken` say what was found."""
        if not self.awaiting:
            self.broken = True
            return
        self._overhead += len(data)
        if self.response is None:
            data = self._lines.strict(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self.unread = data[upgrade.args[0] :]
        except HttpParserError:
            self.broken = True
        else:
            if self._overhead > self._limits.head_bytes:
                self.broken = True
        if self._to_head and not self.awaiting:
            self._parser = HttpResponseParser(self)  # llhttp waits for a body that HEAD never gets

    def eof(self) -> None:
        """The upstream sends no more: the end of a body that only this can end, or a broken answer."""
        response = self.response
        if response is not None and not response.complete and response.framing is CLOSE:
            self._complete(response)
        self.broken = True

    def close(self) -> None:
        """The connection has ended: the parser, which knows us, is let go of."""
        self._parser = _NO_PARSER

    def _complete(self, response: IncomingResponse) -> None:
        response.complete = True
        self.awaiting = False

    # llhttp calls these

    def on_message_begin(self) -> None:
        if not self.awaiting:
            self.broken = True  # the start of an answer to nothing: it must not become the next one's

    def on_status(self, part: bytes) -> None:
        self._reason += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if not self.awaiting:
            raise HttpParserError("a second response to one request")
        parser = self._parser
        status, reason, sorted_fields = (
            parser.get_status_code(),
            self._reason,
            fields.of_response(self._fields),
        )
        version = parser.get_http_version()
        self._fields, self._reason, self._overhead = [], b"", 0
        if status < 100 or version not in ("1.1", "1.0") or (status == 101 and not self._upgrade):
            raise HttpParserError("not a response to this request")
        if status < 200 and status != 101:
            self.interims.append(Interim(status, reason, sorted_fields))
            return
        minor = 0 if version == "1.0" else 1
        response = IncomingResponse(
            status, reason, minor, sorted_fields, keep_alive=parser.should_keep_alive()
        )
        if not framing.frame_response(response, to_head=self._to_head):
            raise HttpParserError("the end of the body is not certain")
        self.response = response
        if response.framing is NONE and self._to_head:
            self._complete(response)

    def on_body(self, part: bytes) -> None:
        response = self.response
        if response is None or response.complete:
            raise HttpParserError("a body where none may be")
        self._overhead = 0
        response.body.append(part)

    def on_message_complete(self) -> None:
        self._overhead = 0
        response = self.response
        if response is None or response.complete:
            return
        if self._fields:
            response.trailers, self._fields = self._fields, []
        self._complete(response)
