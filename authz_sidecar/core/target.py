"""The request target: refused where two parsers could read it differently, else decoded once.

Rules match the path percent-decoded exactly once, as WSGI does (PEP 3333). The bytes
that go upstream are the original ones. So a path is acceptable only if every sane parser (decoding
before or after splitting, once or twice, dropping parameters or not) finds the same segments in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from authz_sidecar.core.errors import Refused
from authz_sidecar.core.remembered import Remembered
from authz_sidecar.core.verdicts import Code

# Origin-form, in visible ASCII; a fragment is never sent (RFC 9112 §3.2).
_FORM = re.compile(rb"/[!-\"$-~]*")

# Absolute-form without user information.
_ABSOLUTE = re.compile(rb"(https?)://([^/?#@]+)(.*)", re.IGNORECASE | re.DOTALL)

# What most targets look like, and what has one reading only.
_PLAIN = re.compile(rb"/(?:[0-9A-Za-z_~-]+/)*[0-9A-Za-z_~-]*(?:\?[!-\"$-~]*)?")

# Bad escapes, and escapes that hide a control byte or a character of the syntax itself: % / \ ; ? #
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-Fa-f]|7[Ff]|2[35Ff]|3[BbFf]|5[Cc])")

_DOTS = frozenset({".", ".."})


def origin_form(raw: bytes, method: str, scheme: bytes, hosts: Sequence[bytes]) -> bytes:
    """A target in absolute-form as the server that it names would be sent it (RFC 9112 §3.2.2).

    `scheme` and `hosts` are the listener's and the Host fields. What names another server stays as it is.
    """
    found = _ABSOLUTE.fullmatch(raw)
    if found is None or found[1].lower() != scheme or [found[2].lower()] != [host.lower() for host in hosts]:
        return raw
    rest = found[3]
    if not rest and method == "OPTIONS":
        return b"*"
    return rest if rest.startswith(b"/") else b"/" + rest


def check_form(raw: bytes, method: str) -> None:
    """Refuse a target that no request may have, governed by a rule or not."""
    if not _FORM.fullmatch(raw) and not (raw == b"*" and method == "OPTIONS"):
        raise _refused("the request target must be a path in visible ASCII, without a fragment")


def path(raw: bytes) -> str:
    """The decoded path of a target that a rule may govern. Raises `Refused`."""
    return _PATHS[raw]


def _path(raw: bytes) -> str:
    encoded, _, _ = raw.partition(b"?")
    if _PLAIN.fullmatch(raw):
        return encoded.decode("ascii")
    check_form(raw, "")
    if b"\\" in encoded or b";" in encoded:  # a slash to some, parameters to others
        raise _refused("the path must not contain a backslash or a semicolon")
    decoded = _decode(encoded)
    if "//" in decoded:
        raise _refused("the path must not contain an empty segment (//)")
    if "/." in decoded and not _DOTS.isdisjoint(decoded.split("/")):
        raise _refused("the path must not contain dot segments")
    return decoded


_PATHS: Final = Remembered(_path, 512 * 1024)
"""Clients ask for the same few targets again and again."""


def _decode(path: bytes) -> str:
    if b"%" not in path:
        return path.decode("ascii")
    if found := _BAD_ESCAPE.search(path):
        after = path[found.start() : found.start() + 3].decode("ascii")
        raise _refused(f"the path must not contain {after!r}")
    try:
        return unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise _refused("the path must be UTF-8 when decoded") from None


def _refused(detail: str) -> Refused:
    return Refused(Code.BAD_TARGET, detail)
