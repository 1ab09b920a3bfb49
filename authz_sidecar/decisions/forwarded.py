"""Which request a gateway asks about: told by one configured source, exactly once, or refused.

Anything else that speaks of a method or of a target came from the gateway's client, and the gateway may pass
it on to the service. So what contradicts the source is refused, and so is a second spelling of it: WSGI reads
`X_Forwarded_Method` as `X-Forwarded-Method`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from authz_sidecar.answers import Fault
from authz_sidecar.config.decisions import ForwardedHeaders
from authz_sidecar.core import fields
from authz_sidecar.core.fields import FieldList, of_request
from authz_sidecar.core.verdicts import FaultCode, RequestHead

PREFIX: Final = b"/check"
SETTING: Final = "AUTHZ_DECISIONS_SOURCE"
_HANDSHAKE: Final = frozenset({b"sec-websocket-key", b"sec-websocket-version"})
"""Gateways keep `Upgrade` to themselves, but no WebSocket opens without these (RFC 6455 §4.2.1)."""


class Unanswerable(Exception):
    """There is no request to decide on. Where none is named, `detail` tells the header and the mend."""

    def __init__(self, detail: str, code: FaultCode = FaultCode.HOOK_MALFORMED) -> None:
        super().__init__(detail)
        self.fault = Fault(code, detail)


def is_check(target: bytes) -> bool:
    """Whether a request for this target asks about another one."""
    return target == PREFIX or target.startswith((PREFIX + b"/", PREFIX + b"?"))


class Asking(NamedTuple):
    """The request by which a gateway asks."""

    method: str
    target: bytes
    received: Sequence[tuple[bytes, bytes]]
    peer: str


def request(source: ForwardedHeaders | None, asking: Asking, target_bytes: int) -> RequestHead:
    """The request that is asked about; its target has at most `target_bytes`. Raises Unanswerable."""
    method, target, received, peer = asking
    kept = list(received)
    if source is None:
        target = _behind_prefix(target)
    else:
        method = _only(received, source.method).decode("latin-1")
        target = _only(received, source.target)
        named = {name.lower().encode() for name in source if name is not None}
        kept = [field for field in received if field[0].lower() not in named]
        if source.host is not None:
            others = [field for field in kept if field[0].lower() != b"host"]
            kept = [(b"Host", _only(received, source.host)), *others]
        _check_others(kept, method, source)
    if len(target) > target_bytes:
        raise Unanswerable("", FaultCode.TARGET_TOO_LONG)
    return RequestHead(method, target, of_request(kept), peer, _is_handshake(method, kept))


def _behind_prefix(target: bytes) -> bytes:
    rest = target.removeprefix(PREFIX)
    if not rest.startswith(b"/"):
        raise Unanswerable(
            "the path after /check is missing: let the gateway put /check before the path, as Envoy's "
            f"path_prefix does, or name in {SETTING} the headers that it sends"
        )
    return rest


def _only(received: Sequence[tuple[bytes, bytes]], name: str) -> bytes:
    """The value of the one field of this name, in whatever spelling there may be a second one."""
    folded = fields.fold(name.encode())
    found = [field for field in received if fields.fold(field[0]) == folded]
    if not found:
        raise Unanswerable(
            f"{name} is missing: let the gateway send it, or name in {SETTING} what it sends instead"
        )
    if len(found) > 1 or found[0][0].lower() != folded:
        spelt = ", ".join(sorted({field[0].decode("latin-1") for field in found}))
        raise Unanswerable(
            f"{name} is there more than once or in another spelling ({spelt}): let the gateway set it "
            "and remove its client's"
        )
    return found[0][1]


def _check_others(kept: FieldList, method: str, source: ForwardedHeaders) -> None:
    for value in of_request(kept).known.get(fields.FORWARDED_METHOD, ()):
        if value.strip() != method.encode("latin-1"):
            raise Unanswerable(
                f"another header says another method than {source.method}: let the gateway remove its "
                f"client's, or name in {SETTING} the one that it sets"
            )


def check_spellings(received: Sequence[tuple[bytes, bytes]], names: frozenset[bytes]) -> None:
    """Refuse what the service could read as one of these (lower case), and the gateway does not overwrite."""
    for name, _ in received:
        if fields.fold(name) in names and name.lower() not in names:
            shown = name.decode("latin-1")
            raise Unanswerable(
                f"{shown} is another spelling of an identity header: let the gateway remove it"
            )


def _is_handshake(method: str, received: FieldList) -> bool:
    upgrade = any(name.lower() == b"upgrade" and value.lower() == b"websocket" for name, value in received)
    return method == "GET" and (upgrade or any(name.lower() in _HANDSHAKE for name, _ in received))
