"""The fields of one message, sorted in one pass: which go on as they are, and which mean something here.

Names repeat from message to message, so what a name means is worked out once and remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from authz_sidecar.core.remembered import Remembered

FieldList = list[tuple[bytes, bytes]]
"""Names and values as received: in order, case and duplicates kept."""


class Meaning(NamedTuple):
    """What a field is to a proxy, by its name alone."""

    key: bytes
    """Under which its values are known."""
    kept: bool
    """Whether it goes on, unless something else in the message is against it."""


class Fields:
    """A message's fields. `received` is all of them, `kept` those that go on."""

    __slots__ = ("kept", "known", "received")

    def __init__(self, received: FieldList, kept: FieldList, known: dict[bytes, list[bytes]]) -> None:
        self.received = received
        self.kept = kept
        self.known = known
        """The values of the fields that mean something, by `Meaning.key`."""

    def values(self, name: bytes) -> Sequence[bytes]:
        """The values of the fields of this name (lower case), in order."""
        if name in _KNOWN:
            return self.known.get(name, ())
        return [value for other, value in self.received if other.lower() == name]


def of_request(received: FieldList) -> Fields:
    """Sort the fields of a request."""
    return _sort(received, _IN_REQUEST)


def of_response(received: FieldList) -> Fields:
    """Sort the fields of a response."""
    return _sort(received, _IN_RESPONSE)


def _sort(received: FieldList, meanings: Remembered[bytes, Meaning | None]) -> Fields:
    kept: FieldList = []
    known: dict[bytes, list[bytes]] = {}
    for field in received:
        meaning = meanings[field[0]]
        if meaning is None:
            kept.append(field)
            continue
        key, goes_on = meaning
        if goes_on:
            kept.append(field)
        if key in known:
            known[key].append(field[1])
        else:
            known[key] = [field[1]]
    return Fields(received, kept, known)


def is_plain(name: bytes) -> bool:
    """Whether a request's field of this name means nothing here and goes on."""
    return _IN_REQUEST[name] is None


def fold(name: bytes) -> bytes:
    """A name as WSGI, CGI and what imitates them may read it: lower case, `_` and `.` like `-`."""
    return name.translate(_FOLD)


_FOLD: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_.", b"abcdefghijklmnopqrstuvwxyz--")

METHOD_OVERRIDE: Final = b"x-http-method-override"
FORWARDED_METHOD: Final = b"x-forwarded-method"
"""Stands for every field by which a gateway's hook says which method it asks about."""
FORWARDED_FOR: Final = b"x-forwarded-for"
FORWARDING: Final = b"forwarded"
"""Stands for every field by which a proxy says how it was addressed, but X-Forwarded-For."""

HOP_BY_HOP: Final = frozenset(
    {
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    }
)
_READ_HERE: Final = frozenset(
    {b"accept", b"authorization", b"authz-min-revision", b"content-length", b"host"}
)
_DROPPED: Final = HOP_BY_HOP | {
    b"connection",
    b"http2-settings",
    b"proxy",  # CGI's HTTP_PROXY variable (https://httpoxy.org)
    b"te",
    b"x-request-id",  # ours is set instead
}
_KNOWN: Final = _READ_HERE | _DROPPED
_OVERRIDES: Final = frozenset({METHOD_OVERRIDE, b"x-http-method", b"x-method-override"})
_ASKED_ABOUT: Final = (b"x-forwarded-", b"x-original-", b"x-auth-request-")
"""How names of fields begin by which a gateway says what it asks about."""
_FORWARDING: Final = frozenset({b"forwarded", b"x-real-ip", b"x-original-url", b"x-rewrite-url"})


def _in_request(name: bytes) -> Meaning | None:
    folded, lower = fold(name), name.lower()
    if folded in _OVERRIDES:
        return Meaning(METHOD_OVERRIDE, kept=b"_" not in name)
    if _names_method(folded):
        return Meaning(FORWARDED_METHOD, kept=b"_" not in name)
    if b"_" in name or folded in _DROPPED or folded.startswith(b"x-authz-"):
        return Meaning(lower, kept=False)
    if folded == FORWARDED_FOR:
        return Meaning(FORWARDED_FOR, kept=False)
    if is_forwarding(name):
        return Meaning(FORWARDING, kept=True)
    if folded in _READ_HERE:  # spelt with a dot it is not read here, and must not be by others
        return Meaning(lower, kept=lower == folded)
    return None


def _in_response(name: bytes) -> Meaning | None:
    lower = name.lower()
    if lower == b"connection" or lower in HOP_BY_HOP:
        return Meaning(lower, kept=False)
    return Meaning(lower, kept=True) if lower == b"content-length" else None


def is_forwarding(name: bytes) -> bool:
    """Whether a field says how a proxy was addressed."""
    folded = fold(name)
    return folded in _FORWARDING or _names_method(folded) or folded.startswith(b"x-forwarded-")


def _names_method(folded: bytes) -> bool:
    return folded.startswith(_ASKED_ABOUT) and folded.endswith(b"-method")


_IN_REQUEST: Final = Remembered(_in_request, 256 * 1024)
_IN_RESPONSE: Final = Remembered(_in_response, 256 * 1024)


def without(fields: Iterable[tuple[bytes, bytes]], names: frozenset[bytes]) -> FieldList:
    """The fields that have none of these names (lower case)."""
    return [field for field in fields if field[0].lower() not in names]
