"""The port on which others ask for decisions, and how they say what they ask about."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from authz_sidecar.config import addresses, parsers
from authz_sidecar.config.addresses import Address, items
from authz_sidecar.config.setting import group, setting

USUAL: Final = "X-Forwarded-Method,X-Forwarded-Uri,X-Forwarded-Host"
OWN: Final = "path"
"""The request that asks has the method itself, and the target behind a prefix."""
_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_UNFIT: Final = frozenset(
    {"authorization", "connection", "content-length", "cookie", "host", "transfer-encoding", "x-request-id"}
)


class ForwardedHeaders(NamedTuple):
    """The headers that say which request is asked about, as they are written."""

    method: str
    target: str
    host: str | None = None
    """`None`: the gateway asks with the `Host` that it was sent."""


def source(text: str) -> ForwardedHeaders | None:
    """Names of headers; `None`: the request's own method and path."""
    if text == OWN:
        return None
    names = items(text)
    fit = all(_NAME.fullmatch(name) and name.lower() not in _UNFIT for name in names)
    if len({name.lower() for name in names}) != len(names) or len(names) not in {2, 3} or not fit:
        raise ValueError(
            f"must be `{OWN}` or names of headers, of the method, of the URI and perhaps of the host, "
            f"like {USUAL}"
        )
    return ForwardedHeaders(*names)


@group
class DecisionsSettings:
    """The decisions port. It answers about requests that a gateway holds, and passes nothing on."""

    listen: tuple[Address, ...] = setting(
        "AUTHZ_DECISIONS_LISTEN",
        addresses.listeners_or_none,
        "address and port where gateways ask about requests that they hold, or several: `/check` for nginx, "
        "Traefik, Caddy, Envoy and Istio (unset: nowhere); only they may reach it",
        default="",
    )
    token: str | None = setting(
        "AUTHZ_DECISIONS_TOKEN",
        parsers.credential,
        "credential for AuthZEN at the decisions port (unset: AuthZEN is not answered)",
        default=None,
        secret=True,
    )
    url: str | None = setting(
        "AUTHZ_DECISIONS_URL",
        addresses.origin,
        "base URL under which AuthZEN's clients know the decisions port, for its metadata (unset: none)",
        default=None,
    )
    source: ForwardedHeaders | None = setting(
        "AUTHZ_DECISIONS_SOURCE",
        source,
        "what says there which request is asked about: the headers of its method, of its URI and of its host "
        "(two names: the host is the asking request's), or `path`: the method of the asking request and what "
        "follows `/check` in its path, as Envoy sends it",
        default=USUAL,
    )
