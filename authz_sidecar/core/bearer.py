"""Where the access token of a request is, and what goes on without it.

A header is first. A page cannot set one when it opens a WebSocket, but it can offer subprotocols; and where
pages are to hold no token at all, a cookie does. The first of these places that is there counts, and no other
is looked at: no good token makes up for a bad one.

What is removed is wider than what is read, because the service may read fields in another way: cookies that
end at commas or spaces, names that are percent-encoded or have spaces around them (CVE-2020-7070,
CVE-2020-8184). Where that makes two of one, nobody knows whose request it is.
"""

from __future__ import annotations

import re
from typing import Final

from authz_sidecar.core import fields, headers, origins
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.fields import FieldList, Fields
from authz_sidecar.core.rules import SAFE_METHODS
from authz_sidecar.core.verdicts import Code, RequestHead

AUTHORIZATION: Final = b"authorization"
SUBPROTOCOLS: Final = b"sec-websocket-protocol"
PREFIX: Final = b"authz.bearer."
"""Of the subprotocol that is no subprotocol but carries a token."""


class TokenPlaces:
    """The places that may carry a token. By default it is the header alone."""

    def __init__(
        self,
        header: bytes = AUTHORIZATION,
        *,
        subprotocol: bool = False,
        cookie: str = "",
        cookie_origins: frozenset[bytes] = frozenset(),
    ) -> None:
        """`header` in lower case; `cookie`: its name, none if empty; `cookie_origins`: whose pages beside the
        service's own may make changes with it."""
        self.header = header
        self.subprotocol = subprotocol
        self.elsewhere = subprotocol or bool(cookie)
        """Whether there is a place beside the header."""
        self.removes = self.elsewhere or header != AUTHORIZATION
        """Whether anything that may carry a token is not for the service."""
        self._cookie = cookie.encode("ascii")
        self._named = _cookie_pattern(cookie) if cookie else None
        self._origins = cookie_origins

    def check(self, request: RequestHead) -> None:
        """Refuse what no request may have. Raises Refused."""
        if not self.subprotocol or not request.upgrade:
            return
        offered = _listed(request.fields)
        if offered and all(PREFIX in each.lower() for each in offered):
            detail = "the access token is the only subprotocol that is offered: offer a real one beside it"
            raise Refused(Code.SUBPROTOCOL_MISSING, detail)

    def token(self, request: RequestHead) -> bytes:
        """The access token, unverified. Raises Refused."""
        if not self.elsewhere or request.fields.values(self.header):
            return headers.bearer_token(request.fields, self.header)
        found = self._in_subprotocol(request) or self._in_cookie(request)
        if not found:
            raise Refused(Code.TOKEN_MISSING, "this needs an access token")
        if len(found) > 1:
            raise Refused(Code.TOKEN_INVALID, "there is more than one access token")
        return headers.plain_token(found[0])

    def without(self, sent_on: FieldList) -> FieldList:
        """The fields of a request as they go on: of all places, only `Authorization` does."""
        kept: FieldList = []
        for field in sent_on:
            name, value = fields.fold(field[0]), field[1]
            if name == self.header and name != AUTHORIZATION:
                continue
            if self.subprotocol and name == SUBPROTOCOLS and PREFIX in value.lower():
                value = b", ".join([each for each in _elements(value) if PREFIX not in each.lower()])
            elif self._named is not None and name == b"cookie" and self._named.search(value):
                value = b";".join([each for each in value.split(b";") if not self._named.search(each)])
                value = value.strip(b" \t")
            if value or not field[1]:
                kept.append((field[0], value))
        return kept

    def is_echoed(self, response: Fields) -> bool:
        """Whether the service has chosen the subprotocol that it never was offered."""
        return self.subprotocol and any(
            PREFIX in value.lower() for name, value in response.received if fields.fold(name) == SUBPROTOCOLS
        )

    def _in_subprotocol(self, request: RequestHead) -> list[bytes]:
        if not self.subprotocol or not request.upgrade:
            return []
        carrying = [each for each in _listed(request.fields) if PREFIX in each.lower()]
        return [each.removeprefix(PREFIX) for each in carrying]

    def _in_cookie(self, request: RequestHead) -> list[bytes]:
        """The values of all cookies that somebody could take for this one. Raises Refused."""
        if self._named is None:
            return []
        values = request.fields.values(b"cookie")
        spelt = sum([len(self._named.findall(value)) for value in values])
        if not spelt:
            return []
        if (request.upgrade or request.method not in SAFE_METHODS) and not origins.is_from(
            request, self._origins
        ):
            detail = "the access token is in a cookie, and no page of this origin is known to have sent it"
            raise Refused(Code.CROSS_ORIGIN, detail)
        pairs = [pair.partition(b"=") for value in values for pair in value.split(b";")]
        plain = [value.strip(b" \t") for name, _, value in pairs if name.strip(b" \t") == self._cookie]
        if len(plain) != spelt:
            raise Refused(Code.TOKEN_INVALID, "another cookie could be taken for the one with the token")
        return plain


def _listed(request: Fields) -> list[bytes]:
    """The subprotocols that are offered, over all fields (RFC 6455 §11.3.4)."""
    return [each for value in request.values(SUBPROTOCOLS) for each in _elements(value)]


def _elements(value: bytes) -> list[bytes]:
    """What stands between commas."""
    return [each for each in [part.strip(b" \t") for part in value.split(b",")] if each]


def _cookie_pattern(name: str) -> re.Pattern[bytes]:
    """Finds the beginning of each cookie that some parser could take for the one of this name."""
    spelt = b"".join([b"(?:%b|%%(?i:%02x))" % (re.escape(each.encode()), ord(each)) for each in name])
    space = rb"(?:[\s\x80-\xff]|%(?i:0[9a-d]|20|[89a-f][0-9a-f]))"
    alone = rb"(?:^|;)" + space + rb"*" + spelt + space + rb"*(?=[=;]|\Z)"
    behind_another = rb'(?:[,"]|' + space + rb")" + spelt + space + rb"*="
    return re.compile(alone + rb"|" + behind_another)
