"""Which page a browser's request comes from (Fetch standard: `Origin`, `Sec-Fetch-Site`).

A browser sends a site's cookies with whatever any page makes it send there, so a token in a cookie says who
asks, but not that they want to. Both fields are set by browsers alone, and no page can change them.
"""

from __future__ import annotations

from typing import Final

from authz_sidecar.core.fields import Fields
from authz_sidecar.core.verdicts import RequestHead

_USUAL_PORTS: Final = {"http": ":80", "https": ":443"}
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
"""Of an origin, by what proxies say: some tell a WebSocket apart."""
_ELSEWHERE: Final = frozenset({b"same-origin", b"same-site", b"cross-site"})
"""What a browser says of the pages of an origin that is listed; which, depends on what is in front of us."""


def serialized(scheme: str, authority: str) -> str:
    """An origin as browsers write it, from the scheme and the host of a request (with its port, if any)."""
    return f"{scheme}://{authority.lower().removesuffix(_USUAL_PORTS[scheme])}"


def addressed(fields: Fields, scheme: str, *, trusted: bool) -> bytes:
    """The origin that a request was sent to; empty: it is not known for sure.

    `scheme`: of the connection it came over. `trusted`: whether the peer's forwarding fields are believed.
    """
    hosts = fields.known.get(b"host", [])
    if trusted:
        hosts = list(fields.values(b"x-forwarded-host")) or hosts
        said = [value.decode("latin-1").lower() for value in fields.values(b"x-forwarded-proto")] or [scheme]
        scheme = _SCHEMES.get(said[0], "") if len(said) == 1 else ""
    if len(hosts) != 1 or not hosts[0] or not scheme:
        return b""
    return serialized(scheme, hosts[0].decode("latin-1")).encode("latin-1")


def is_from(request: RequestHead, listed: frozenset[bytes]) -> bool:
    """Whether a browser says that a page of the request's own origin, or of one that is listed, sent it."""
    sites, named = request.fields.values(b"sec-fetch-site"), request.fields.values(b"origin")
    if len(sites) > 1 or len(named) > 1:
        return False
    own_site = not sites or sites[0] == b"same-origin"
    if not named:
        return own_site and bool(sites)
    if named[0] in listed:
        return not sites or sites[0] in _ELSEWHERE
    return own_site and bool(request.origin) and named[0] == request.origin
