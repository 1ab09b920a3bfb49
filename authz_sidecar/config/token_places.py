"""Where a request's access token may be."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from authz_sidecar.config import addresses, parsers
from authz_sidecar.config.setting import group, setting
from authz_sidecar.core import origins
from authz_sidecar.core.bearer import TokenPlaces


def cookie_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{0,64}", text):
        raise ValueError("must be a cookie's name of letters, digits and '-', '_' or '.', at most 64")
    return text


def pages(text: str) -> frozenset[bytes]:
    """Origins as browsers write them, separated by commas."""
    found = set()
    for item in addresses.items(text):
        if item == "*":
            raise ValueError("must name each origin: with `*` any page could make changes as its visitor")
        parts = urlsplit(addresses.origin(item))
        found.add(origins.serialized(parts.scheme, parts.netloc).encode("ascii"))
    return frozenset(found)


@group
class TokenPlaceSettings:
    """The first place that has a token counts: header, then subprotocol, then cookie."""

    header: str = setting(
        "AUTHZ_TOKEN_HEADER",
        parsers.token_header,
        "header that carries the access token; another one than Authorization is not sent on to the service",
        default="Authorization",
    )
    """In lower case."""
    subprotocol: bool = setting(
        "AUTHZ_TOKEN_SUBPROTOCOL",
        parsers.boolean,
        "`true`: a WebSocket may offer its access token as the subprotocol `authz.bearer.<token>`, beside a "
        "real one; it is not sent on",
        default="false",
    )
    cookie: str = setting(
        "AUTHZ_TOKEN_COOKIE",
        cookie_name,
        "cookie that may carry the access token; a change or a WebSocket with it must come from a page of "
        "the service itself; it is not sent on (unset: none)",
        default="",
    )
    cookie_origins: frozenset[bytes] = setting(
        "AUTHZ_TOKEN_COOKIE_ORIGINS",
        pages,
        "origins of other pages whose changes and WebSockets may carry it, like https://app.example.org",
        default="",
    )

    @property
    def places(self) -> TokenPlaces:
        return TokenPlaces(
            self.header.encode("ascii"),
            subprotocol=self.subprotocol,
            cookie=self.cookie,
            cookie_origins=self.cookie_origins,
        )
