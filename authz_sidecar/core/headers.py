"""Header fields: what is refused, what is read, what is sent on.

WSGI and CGI write a name's `-` as `_`, and some servers read `.` so too. Names are therefore compared
folded (lower case, all three as `-`), and a name that holds `_` never reaches the upstream.

The byte path frames each message itself: `Transfer-Encoding` is removed here, while `Content-Length`,
`TE`, `Trailer` and `Expect` pass untouched, whatever `Connection` says, for it to judge.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

from authz_sidecar.core.errors import Refused
from authz_sidecar.core.types import Code, Headers, RevisionToken

Fields = list[tuple[bytes, bytes]]

Kind = Literal["plain", "single", "connection", "method_override", "forwarded_for", "forwarding", "dropped"]
"""What a request's field is to a proxy, by its name alone."""

_FOLD: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_.", b"abcdefghijklmnopqrstuvwxyz--")

_SINGLE = frozenset({b"authorization", b"host"})
_METHOD_OVERRIDE = frozenset({b"x-http-method-override", b"x-http-method", b"x-method-override"})
_FORWARDING = frozenset({b"forwarded", b"x-real-ip", b"x-original-url", b"x-rewrite-url"})
_HOP_BY_HOP = frozenset(
    {
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    }
)
_DROPPED = _HOP_BY_HOP | {
    b"http2-settings",
    b"proxy",  # CGI's HTTP_PROXY variable (https://httpoxy.org)
    b"x-request-id",  # ours is set instead
}

_NO_TRAILERS = frozenset(
    b"cache-control content-encoding content-length content-range content-type cookie expect if-match "
    b"if-none-match max-forwards range set-cookie te trailer www-authenticate".split()
)
_NEVER_NAMED = frozenset({b"authorization", b"content-length", b"cookie", b"host", b"transfer-encoding"})
"""Who asks whom for what, and where the message ends, is not for `Connection` to remove."""
_IGNORED_OPTIONS = _NEVER_NAMED | _HOP_BY_HOP | {b"close", b"expect", b"te", b"trailer"}
"""Options that remove nothing: not theirs to remove, removed anyway, or left to the byte path."""

_SENT_ON: frozenset[Kind] = frozenset({"plain", "single", "method_override"})
_SENT_ON_IF_TRUSTED = _SENT_ON | {"forwarding"}

_REQUEST_ID = re.compile(rb"[\w.-]{1,64}")


def check(headers: Headers, *, allow_method_override: bool) -> None:
    """Refuse fields that no request may have, governed by a rule or not."""
    seen: set[bytes] = set()
    for name, value in headers:
        kind = _kind(name)
        if kind == "plain":
            continue
        folded = name.translate(_FOLD)
        if kind == "single":
            if folded in seen:
                raise Refused(Code.BAD_HEADER, f"there is more than one {_shown(folded)} header")
            seen.add(folded)
        elif kind == "connection":
            if named := _options(value) & _NEVER_NAMED:
                raise Refused(Code.BAD_HEADER, f"Connection must not name {_shown(min(named))}")
        elif folded in _METHOD_OVERRIDE and not allow_method_override:
            raise Refused(Code.METHOD_OVERRIDE, "a header must not override the method")


def bearer_token(headers: Headers, token_header: bytes) -> bytes:
    """The access token of a request (RFC 6750 §2.1), unverified. `token_header` is lower case.

    In any other header than Authorization the word "Bearer" may be left out.
    """
    values = _values(headers, token_header)
    if not values:
        raise Refused(Code.TOKEN_MISSING, "this needs an access token")
    if len(values) > 1:
        raise Refused(Code.TOKEN_INVALID, "there is more than one access token")
    scheme, _, token = values[0].partition(b" ")
    if scheme.lower() != b"bearer":
        if token_header == b"authorization":
            raise Refused(Code.TOKEN_MISSING, "this needs an access token (Authorization: Bearer)")
        token = values[0]
    token = token.strip(b" ")
    if not token or b" " in token or b"," in token:
        raise Refused(Code.TOKEN_INVALID, "the access token is malformed")
    return token


def min_revision(headers: Headers) -> RevisionToken | None:
    """The revision at or after which this request must be decided, if it names one."""
    values = _values(headers, b"authz-min-revision")
    if not values:
        return None
    try:
        (value,) = values
        return RevisionToken.parse(value.decode("ascii"))
    except ValueError:
        detail = "Authz-Min-Revision must be one revision token, like 3f2a9c1b.1234"
        raise Refused(Code.REVISION_MALFORMED, detail) from None


def request_id(headers: Headers) -> str | None:
    """The client's own request id, if there is one and it is harmless in logs."""
    values = _values(headers, b"x-request-id")
    if len(values) == 1 and _REQUEST_ID.fullmatch(values[0]):
        return values[0].decode("ascii")
    return None


def forwarded_request(
    headers: Headers, *, request_id: str, peer: str, scheme: str, peer_trusted: bool
) -> Fields:
    """The fields to send upstream: order, case and duplicates kept, our own at the end.

    A trusted peer's forwarding fields are kept and its address is added to X-Forwarded-For; anyone
    else's are replaced.
    """
    kept: Fields = []
    options: frozenset[bytes] = frozenset()
    path: list[bytes] = []
    sent_on = _SENT_ON_IF_TRUSTED if peer_trusted else _SENT_ON
    for field in headers:
        kind = _kind(field[0])
        if kind in sent_on:
            kept.append(field)
        elif kind == "connection":
            options |= _options(field[1])
        elif kind == "forwarded_for" and peer_trusted:
            path.append(field[1])
    kept = _without(kept, options)
    path.append(peer.encode("ascii") or b"unknown")
    return [
        *kept,
        *_origin(kept, scheme, peer_trusted),
        (b"X-Forwarded-For", b", ".join(path)),
        (b"X-Request-Id", request_id.encode("ascii")),
    ]


def forwarded_response(headers: Headers) -> Fields:
    """The fields to send downstream: order, case and duplicates kept, hop-by-hop ones removed."""
    kept: Fields = []
    options: frozenset[bytes] = frozenset()
    for field in headers:
        lower = field[0].lower()
        if lower == b"connection":
            options |= _options(field[1])
        elif lower not in _HOP_BY_HOP:
            kept.append(field)
    return _without(kept, options)


def forwarded_trailers(trailers: Headers) -> Fields:
    """The trailer fields to send on, in either direction.

    What routes, frames, authenticates or describes a message must stand in its head (RFC 9110 §6.5.1).
    """
    plain = [field for field in trailers if _kind(field[0]) == "plain"]
    return [field for field in plain if field[0].lower() not in _NO_TRAILERS]


# Clients and services repeat the same few names and options, so both readings are remembered.


@lru_cache(maxsize=1024)
def _kind(name: bytes) -> Kind:
    folded = name.translate(_FOLD)
    if b"_" in name or folded in _DROPPED or folded.startswith(b"x-authz-"):
        return "dropped"
    if folded in _METHOD_OVERRIDE:
        return "method_override"
    if folded == b"x-forwarded-for":
        return "forwarded_for"
    if folded in _FORWARDING or folded.startswith(b"x-forwarded-"):
        return "forwarding"
    if folded in _SINGLE:
        return "single"
    return "connection" if folded == b"connection" else "plain"


@lru_cache(maxsize=1024)
def _options(value: bytes) -> frozenset[bytes]:
    """The options of a Connection field (RFC 9110 §7.6.1), lower case."""
    return frozenset(option.strip(b" \t") for option in value.lower().split(b","))


def _without(fields: Fields, options: frozenset[bytes]) -> Fields:
    removed = options - _IGNORED_OPTIONS
    return [field for field in fields if field[0].lower() not in removed] if removed else fields


def _origin(kept: Fields, scheme: str, peer_trusted: bool) -> Fields:
    """How the client addressed us, unless a trusted peer has said how it was addressed itself."""
    own = [(b"X-Forwarded-Proto", scheme.encode("ascii"))]
    own += [(b"X-Forwarded-Host", host) for host in _values(kept, b"host")[:1]]
    if not peer_trusted:
        return own
    return [field for field in own if not _values(kept, field[0].lower())]


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    size = len(wanted)
    return [value for name, value in headers if len(name) == size and name.lower() == wanted]


def _shown(folded: bytes) -> str:
    return folded.decode("ascii").title()
