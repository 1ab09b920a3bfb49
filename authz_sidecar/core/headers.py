"""Header fields: what is refused, what is read, what is sent on.

WSGI and CGI write a name's `-` as `_`, and some servers read `.` so too. Names are therefore compared
folded (lower case, all three as `-`), and a name that holds `_` never reaches the upstream.

The byte path frames each message itself: `Transfer-Encoding` and `TE` are removed here, while
`Content-Length`, `Trailer` and `Expect` pass untouched, whatever `Connection` says, for it to judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from authz_sidecar.core import fields, hosts
from authz_sidecar.core.entities import RevisionToken
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.fields import FieldList, Fields
from authz_sidecar.core.remembered import Remembered
from authz_sidecar.core.verdicts import Code

_NO_TRAILERS = frozenset(
    b"cache-control content-encoding content-length content-range content-type cookie expect if-match "
    b"if-none-match max-forwards range sec-websocket-protocol set-cookie te trailer www-authenticate".split()
)
_NEVER_NAMED = frozenset({b"authorization", b"content-length", b"cookie", b"host", b"transfer-encoding"})
"""Who asks whom for what, and where the message ends, is not for `Connection` to remove."""
_IGNORED_OPTIONS = _NEVER_NAMED | fields.HOP_BY_HOP | {b"close", b"expect", b"te", b"trailer"}
"""Options that remove nothing: not theirs to remove, removed anyway, or left to the byte path."""

MOST_OPTIONS: Final = 100
"""Of all Connection fields of a request. Nobody names more than a few, and each of thousands costs time."""

_SPACE, _COMMA = b" ,"
"""As numbers: Python finds them in bytes without an exception on the way."""

_KEPT = re.compile(rb'(?i)(?:(?:^|[\s,;])timeout\s*=\s*|^\s*)"?(\d{1,9})')
_REQUEST_ID = re.compile(rb"[\w.-]{1,64}")


def check(
    request: Fields, method: str, *, safe: bool, token_header: bytes, allow_method_override: bool
) -> None:
    """Refuse fields that no request may have, governed by a rule or not. `safe`: the method is."""
    known = request.known
    if token_header != b"authorization":
        _guard(request, token_header)
    for name in (b"authorization", b"host"):
        if len(known.get(name, ())) > 1:
            raise Refused(Code.BAD_HEADER, f"there is more than one {_shown(name)} header")
    if b"connection" in known:
        _check_connection(known[b"connection"])
    if fields.METHOD_OVERRIDE in known and not allow_method_override:
        raise Refused(Code.METHOD_OVERRIDE, "a header must not override the method")
    if safe and fields.FORWARDED_METHOD in known:
        _check_forwarded(known[fields.FORWARDED_METHOD], method)


def _check_connection(values: list[bytes]) -> None:
    if sum([value.count(b",") for value in values]) >= MOST_OPTIONS:
        raise Refused(Code.BAD_HEADER, f"Connection must not name {MOST_OPTIONS} headers or more")
    for value in values:
        if named := _options(value) & _NEVER_NAMED:
            raise Refused(Code.BAD_HEADER, f"Connection must not name {_shown(min(named))}")


def _guard(request: Fields, token_header: bytes) -> None:
    """The field that carries the token, where that is not Authorization, is no less than that one."""
    spelt = [
        name.lower() for name, _ in request.received if b"_" not in name and fields.fold(name) == token_header
    ]
    if len(spelt) > 1:
        raise Refused(Code.BAD_HEADER, f"there is more than one {_shown(token_header)} header")
    if spelt and spelt[0] != token_header:  # not read here, and must not be by others
        raise Refused(Code.BAD_HEADER, f"{_shown(token_header)} must not be spelt with dots")
    for value in request.known.get(b"connection", ()):
        if token_header in _options(value):
            raise Refused(Code.BAD_HEADER, f"Connection must not name {_shown(token_header)}")


def _check_forwarded(methods: list[bytes], own: str) -> None:
    """A gateway's hook asks about a change with a request that would change nothing: judged as what it is,
    it would let any change pass."""
    if any(method.strip().upper() != own.encode("ascii") for method in methods):
        detail = "a forwarded method is another than the request's own, and this port is no gateway's hook"
        raise Refused(Code.LOOKS_LIKE_A_HOOK, detail)


def bearer_token(request: Fields, token_header: bytes) -> bytes:
    """The access token of a request (RFC 6750 §2.1), unverified. `token_header` is lower case.

    In any other header than Authorization the word "Bearer" may be left out.
    """
    usual = token_header == b"authorization"
    values = request.known.get(token_header, ()) if usual else request.values(token_header)
    if not values:
        raise Refused(Code.TOKEN_MISSING, "this needs an access token")
    if len(values) > 1:
        raise Refused(Code.TOKEN_INVALID, "there is more than one access token")
    scheme, _, token = values[0].partition(b" ")
    if scheme.lower() != b"bearer":
        if usual:
            raise Refused(Code.TOKEN_MISSING, "this needs an access token (Authorization: Bearer)")
        token = values[0]
    return plain_token(token.strip(b" "))


def plain_token(token: bytes) -> bytes:
    """A token as it stands in whatever place. Raises Refused where it cannot be one."""
    if not token or _SPACE in token or _COMMA in token:
        raise Refused(Code.TOKEN_INVALID, "the access token is malformed")
    return token


def host(request: Fields) -> str:
    """The host that a request is for, as rules name hosts; empty where it names none."""
    values = request.known.get(b"host")
    return hosts.normal(values[0]) if values else ""


def min_revision(request: Fields) -> RevisionToken | None:
    """The revision at or after which this request must be decided, if it names one."""
    values = request.known.get(b"authz-min-revision")
    if not values:
        return None
    try:
        (value,) = values
        return RevisionToken.parse(value.decode("ascii"))
    except ValueError:
        detail = "Authz-Min-Revision must be one revision token, like 3f2a9c1b.1234"
        raise Refused(Code.REVISION_MALFORMED, detail) from None


def request_id(request: Fields) -> str | None:
    """The client's own request id, if there is one and it is harmless in logs."""
    values = request.known.get(b"x-request-id")
    if values and len(values) == 1 and _REQUEST_ID.fullmatch(values[0]):
        return values[0].decode("ascii")
    return None


def forwarded_request(
    request: Fields, *, request_id: str, peer: str, scheme: str, peer_trusted: bool
) -> FieldList:
    """The fields to send upstream: order, case and duplicates kept, our own at the end.

    A trusted peer's forwarding fields are kept and its address is added to X-Forwarded-For; anyone
    else's are replaced.
    """
    known = request.known
    kept = _without_named(request.kept, known)
    if not peer_trusted and (fields.FORWARDING in known or fields.FORWARDED_METHOD in known):
        kept = [field for field in kept if not fields.is_forwarding(field[0])]
    path = peer.encode("ascii") or b"unknown"
    if peer_trusted:
        path = b", ".join([*known.get(fields.FORWARDED_FOR, ()), path])
    own = _origin(known, scheme)
    if peer_trusted:
        said = {name.lower() for name, _ in kept}
        own = [field for field in own if field[0].lower() not in said]
    return [*kept, *own, (b"X-Forwarded-For", path), (b"X-Request-Id", request_id.encode("ascii"))]


def forwarded_response(response: Fields, id_header: bytes = b"", request_id: str = "") -> FieldList:
    """The fields to send downstream: order, case and duplicates kept, hop-by-hop ones removed.

    `id_header`: carries the request's id, instead of the service's own; empty: none does.
    """
    sent_on = _without_named(response.kept, response.known)
    if not id_header:
        return sent_on
    return [*fields.without(sent_on, frozenset({id_header.lower()})), (id_header, request_id.encode("ascii"))]


def kept_seconds(response: Fields) -> float:
    """How long the sender keeps an idle connection, as far as it says so (`Keep-Alive: timeout=5`)."""
    said = [_KEPT.search(value) for value in response.known.get(b"keep-alive", ())]
    return min((float(match[1]) for match in said if match is not None), default=float("inf"))


def forwarded_trailers(trailers: FieldList) -> FieldList:
    """The trailer fields to send on, in either direction.

    What routes, frames, authenticates or describes a message must stand in its head (RFC 9110 §6.5.1).
    """
    plain = [field for field in trailers if fields.is_plain(field[0])]
    return fields.without(plain, _NO_TRAILERS)


def _options(value: bytes) -> frozenset[bytes]:
    """The options of a Connection field (RFC 9110 §7.6.1), lower case."""
    return frozenset(option.strip(b" \t") for option in value.lower().split(b","))


def _removing(value: bytes) -> frozenset[bytes]:
    return _options(value) - _IGNORED_OPTIONS


_REMOVED: Final = Remembered(_removing, 64 * 1024)
"""The options of a Connection field that remove something, by its value."""


def _without_named(kept: FieldList, known: dict[bytes, list[bytes]]) -> FieldList:
    """Without the fields that `Connection` says are meant for this hop only."""
    for value in known.get(b"connection", ()):
        if removed := _REMOVED[value]:
            kept = fields.without(kept, removed)
    return kept


def _origin(known: Mapping[bytes, list[bytes]], scheme: str) -> FieldList:
    """How the client addressed us; not repeated where a trusted peer has said how it was addressed."""
    own = [(b"X-Forwarded-Proto", scheme.encode("ascii"))]
    if b"host" in known:
        own.append((b"X-Forwarded-Host", known[b"host"][0]))
    return own


def _shown(folded: bytes) -> str:
    return folded.decode("ascii").title()
