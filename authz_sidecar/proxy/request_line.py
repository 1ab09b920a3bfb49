"""Which protocol a request line names. llhttp reads RTSP and ICE like HTTP, and does not tell.

Nor does it tell where in the bytes that it is fed a request begins. So a line is looked for by its method and
target, which are known. Where requests are pipelined the same may have been asked for before, or a body may
look like it: all that does has to name HTTP. No I/O here.
"""

from __future__ import annotations

import re
from typing import Final

_LINE: Final = rb"(?:^[A-Z_-]* *|%b +)%b +%b/"
"""At the very beginning some of the method may be missing: it came with what was before."""
_OTHER: Final = re.compile(
    rb"(?:^|\n)[A-Z_-]+ +[^ \r\n]+ +(?!HTTP/1\.[01](?:\r|$))[A-Z]+/\d+(?:\.\d+)?(?:\r|$)"
)


def names_http(lines: bytes, method: bytes, target: bytes, *, first: bool) -> bool:
    """Whether the line of the request that is in `lines` names HTTP. `first`: they begin with it."""
    if lines.find(b" RTSP/") < 0 and lines.find(b" ICE/") < 0:
        return True  # it names one of the three
    if first:
        lines = lines.lstrip(b"\r\n").split(b"\n", 1)[0]
    target = re.escape(target)
    if re.search(_LINE % (method, target, b"(?:RTSP|ICE)"), lines) is not None:
        return False
    return re.search(_LINE % (method, target, b"HTTP"), lines) is not None


def names_other(lines: bytes) -> bool:
    """Whether there is a line, though none that can be read: of another protocol or version."""
    return _OTHER.search(lines) is not None
