"""Which protocol a request line names. llhttp reads RTSP and ICE like HTTP, and does not tell.

Nor does it tell where in the bytes that it is fed a request begins. So a line is looked for by its method and
target, which are known. Where requests are pipelined the same may have been asked for before, or a body may
look like it: all that does has to name HTTP. A line that arrives in pieces is kept until its end is here, and
then judged at once. No I/O here.
"""

from __future__ import annotations

import re
from typing import Final

SPACE_BYTES: Final = 64
"""For a method, a version and the white space between, beside a target."""

_LINE: Final = rb"(?:^[A-Z_-]* *|%b +)%b +%b/"
"""At the very beginning some of the method may be missing: it came with what was before."""
_OTHER: Final = re.compile(
    rb"(?:^|\n)[A-Z_-]+ +[^ \r\n]+ +(?!HTTP/1\.[01](?:\r|$))[A-Z]+/\d+(?:\.\d+)?(?:\r|$)"
)


class RequestLine:
    """Follows the line of the request that is arriving."""

    def __init__(self, most_bytes: int) -> None:
        self.kept = b""
        """What has come of a line whose end has not."""
        self._most_bytes = most_bytes
        self._first = False
        """Whether the bytes that are kept, or are read next, begin with it."""
        self._http: bool | None = None
        """What it names, as soon as that is known."""

    def begin(self) -> None:
        """A request begins with the next bytes."""
        self.kept, self._http, self._first = b"", None, True

    def keep(self, piece: bytes, method: bytes, target: bytes) -> bool:
        """A piece of a head was read, of whose target so much is here. False: no line is as long as this."""
        if self._http is not None:
            return True
        if self.kept:
            self.kept += piece
            ended = b"\n" in piece
        else:
            self.kept = piece.lstrip(b"\r\n")
            ended = self._first and b"\n" in self.kept
        if ended:
            self._http, self.kept = self._names_http(self.kept, method, target), b""
        return len(self.kept) <= self._most_bytes

    def named_http(self, piece: bytes, method: bytes, target: bytes) -> bool:
        """Asked at the end of its head, which is in `piece`. The same piece may hold the next request."""
        http = self._http
        if http is None:
            usual = self._first and not self.kept and piece.startswith(method + b" " + target + b" HTTP/")
            http = usual or self._names_http(self.kept + piece, method, target)
        self.kept, self._http, self._first = b"", None, False
        return http

    def names_other(self, piece: bytes) -> bool:
        """Whether it is a line, though not one that can be read: of another protocol or version."""
        return _OTHER.search(self.kept + piece) is not None

    def _names_http(self, lines: bytes, method: bytes, target: bytes) -> bool:
        if self._first:
            lines = lines.lstrip(b"\r\n").split(b"\n", 1)[0]
        target = re.escape(target)
        if re.search(_LINE % (method, target, b"(?:RTSP|ICE)"), lines) is not None:
            return False
        return re.search(_LINE % (method, target, b"HTTP"), lines) is not None
