"""The head of a service's answer whose lines end with a bare LF (RFC 9112 §2.2 lets a recipient read it).

llhttp reads no such head in its strict mode, and its lenient mode would read chunk sizes and trailers so,
too, where parsers that disagree can be led apart. So heads alone are written anew before it sees them, and
only the LFs that no CR stands before: what follows a CR is llhttp's to judge. No I/O here.
"""

from __future__ import annotations

from typing import Final

_END: Final = b"\r\n\r\n"
_STATUS: Final = len("HTTP/1.1 200")
_CLASS: Final = len("HTTP/1.1 ")
_INFORMATIONAL: Final = ord("1")


class HeadLines:
    """Follows the heads of one answer, informational ones first, as they arrive in pieces."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Another answer follows."""
        self._in_head = True
        self._begun = False
        """Whether the head has a line already."""
        self._informational = False
        self._line = b""
        """The beginning of the line that is arriving: as much of it as matters."""

    def strict(self, data: bytes) -> bytes:
        """The next bytes of an answer, with CRLF where a line of a head ends with LF."""
        begins = not self._line and not self._begun
        if begins and data.startswith(b"HTTP/1.") and len(data) > _STATUS and data[_CLASS] != _INFORMATIONAL:
            end = data.find(_END)
            if end >= 0 and data.count(b"\n", 0, end) == data.count(b"\r\n", 0, end):
                return data  # all of the head, and nothing to be done: as nearly always
        return b"".join(self._pieces(data))

    def _pieces(self, data: bytes) -> list[bytes]:
        pieces, position = [], 0
        while self._in_head:
            end = data.find(b"\n", position)
            if end < 0:
                break
            pieces.append(self._ended(data[position:end]))
            position = end + 1
        rest = data[position:]
        if self._in_head:
            line = self._line + rest
            self._line = line if len(line) < _STATUS else line[:_STATUS] + line[-1:]
        pieces.append(rest)
        return pieces

    def _ended(self, part: bytes) -> bytes:
        """The last part of a line, and its end."""
        line, self._line = self._line + part, b""
        empty = line in (b"", b"\r")
        if empty and self._begun:
            self._in_head, self._begun = self._informational, False
        elif not empty and not self._begun:
            status = line[9:_STATUS]
            self._begun, self._informational = True, status[:1] == b"1" and status != b"101"
        return part + (b"\n" if line.endswith(b"\r") else b"\r\n")
