"""Hosts as requests and rules name them: compared in lower case, without port and without a trailing dot."""

from __future__ import annotations

import re
from typing import Final

_PORT: Final = re.compile(rb":[0-9]*\Z")
_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_ADDRESS: Final = re.compile(r"\[[0-9a-f:.]+\]")


def normal(value: bytes) -> str:
    """What a Host field names. What is no host at all stays as it is, and so is one that no rule names."""
    return _PORT.sub(b"", value, count=1).lower().removesuffix(b".").decode("latin-1")


def mistake(text: str) -> str | None:
    """What is wrong with a host in a rule, if anything, with its mend."""
    if _NAME.fullmatch(text) or _ADDRESS.fullmatch(text):
        return None
    if "*" in text:
        return f"{text}: there are no wildcards: name each host"
    right = _right(text)
    mend = (
        f": write {right}" if right != text and (_NAME.fullmatch(right) or _ADDRESS.fullmatch(right)) else ""
    )
    return f"{text!r} is no host in lower case, without scheme, port and trailing dot{mend}"


def _right(text: str) -> str:
    """What is likely meant."""
    host = text.rpartition("://")[2].partition("/")[0]
    try:
        return normal(host.encode("idna" if not host.isascii() else "ascii"))
    except UnicodeError:
        return text
