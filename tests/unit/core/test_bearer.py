"""Where the token is: the first place counts, and nothing that carries one goes on but `Authorization`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie

import pytest
from django.http.cookie import parse_cookie
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.core import bearer
from authz_sidecar.core.bearer import TokenPlaces
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.fields import FieldList, of_request, of_response
from authz_sidecar.core.verdicts import Code, RequestHead

ALL = TokenPlaces(subprotocol=True, cookie="token")
MOVED = TokenPlaces(b"x-token", subprotocol=True, cookie="__Host-token")
PROTOCOL = "Sec-WebSocket-Protocol"
Pairs = tuple[tuple[str, str], ...]


def received(pairs: Pairs) -> FieldList:
    return [(name.encode(), value.encode("latin-1")) for name, value in pairs]


def read(places: TokenPlaces, *pairs: tuple[str, str], method: str = "GET", upgrade: bool = False) -> str:
    """The token, or the code of the refusal."""
    head = RequestHead(method, b"/", of_request(received(pairs)), "192.0.2.1", upgrade, b"https://a")
    try:
        places.check(head)
        return places.token(head).decode("latin-1")
    except Refused as refusal:
        return refusal.code


BEARER, OFFER, COOKIE = (
    ("Authorization", "Bearer h"),
    (PROTOCOL, "chat, authz.bearer.s"),
    ("Cookie", "token=c"),
)
SOCKETS: dict[str, tuple[Pairs, str]] = {
    "all three": ((COOKIE, OFFER, BEARER), "h"),
    "two": ((COOKIE, OFFER), "s"),
    "a bad header before a good rest": ((("Authorization", "Bearer"), OFFER, COOKIE), "token_invalid"),
    "another scheme before a good rest": ((("Authorization", "Basic eDp5"), OFFER, COOKIE), "token_missing"),
    "an empty header before a good rest": ((("Authorization", ""), OFFER, COOKIE), "token_missing"),
    "a bad subprotocol before a good cookie": (((PROTOCOL, "chat, authz.bearer."), COOKIE), "token_invalid"),
    "none": ((), "token_missing"),
    "only real subprotocols": (((PROTOCOL, "chat, superchat"),), "token_missing"),
    "offered first": (((PROTOCOL, "authz.bearer.a.b.c,chat"),), "a.b.c"),
    "over two fields": (((PROTOCOL, "chat"), ("sec-websocket-protocol", "authz.bearer.s")), "s"),
    "offered twice": (((PROTOCOL, "chat, authz.bearer.s, authz.bearer.s"),), "token_invalid"),
    "twice over two fields": (
        ((PROTOCOL, "chat, authz.bearer.s"), (PROTOCOL, "authz.bearer.t")),
        "token_invalid",
    ),
    "alone": (((PROTOCOL, "authz.bearer.s"),), "subprotocol_missing"),
    "alone with an empty element": (((PROTOCOL, " ,authz.bearer.s, "),), "subprotocol_missing"),
    "alone, twice": (((PROTOCOL, "authz.bearer.s"), (PROTOCOL, "authz.bearer.t")), "subprotocol_missing"),
    "alone beside a header": ((BEARER, (PROTOCOL, "authz.bearer.s")), "subprotocol_missing"),
    "alone in other letters": (((PROTOCOL, "Authz.Bearer.s"),), "subprotocol_missing"),
    "with a space in it": (((PROTOCOL, "chat, authz.bearer.s t"),), "token_invalid"),
}


@pytest.mark.parametrize(("pairs", "wanted"), SOCKETS.values(), ids=SOCKETS.keys())
def test_a_websockets_token(pairs: Pairs, wanted: str) -> None:
    assert read(ALL, *pairs, ("Sec-Fetch-Site", "same-origin"), upgrade=True) == wanted


@pytest.mark.parametrize(
    "offered", ["chat, AUTHZ.BEARER.s", 'chat, "authz.bearer.s"', "chat;authz.bearer.s, x"]
)
def test_an_odd_offer_is_no_token_but_is_one_that_counts(offered: str) -> None:
    """Who verifies it finds that it is none; the good cookie beside it is not looked at."""
    assert read(ALL, (PROTOCOL, offered), COOKIE, upgrade=True) not in ("s", "c", "token_missing")


def test_an_offer_is_of_a_websocket_alone() -> None:
    assert read(ALL, OFFER) == "token_missing"
    assert read(ALL, OFFER, COOKIE) == "c"
    assert read(ALL, (PROTOCOL, "authz.bearer.s")) == "token_missing"


def test_what_is_not_configured_is_not_read() -> None:
    assert read(TokenPlaces(cookie="token"), OFFER, upgrade=True) == "token_missing"
    assert read(TokenPlaces(subprotocol=True), COOKIE) == "token_missing"
    assert read(MOVED, BEARER, COOKIE) == "token_missing"
    assert read(MOVED, BEARER, ("X-Token", "x"), ("Cookie", "__Host-token=c")) == "x"
    assert read(MOVED, BEARER, ("Cookie", "__Host-token=c")) == "c"


COOKIES: dict[str, tuple[tuple[str, ...], str]] = {
    "one": (("token=a.b.c",), "a.b.c"),
    "among others": (("x=1; token=c; y=2",), "c"),
    "without spaces": (("x=1;token=c;y=2",), "c"),
    "with spaces": (("x=1; \t token = c ; y=2",), "c"),
    "in crumbs, as HTTP/2 sends them": (("x=1", "token=c", "y=2"), "c"),
    "beside a longer name": (("xtoken=1; token=c; token2=1; my-token=1",), "c"),
    "beside a name in other letters": (("Token=x; token=c; TOKEN=y",), "c"),
    "beside a value that is its name": (("x=token; token=c; y=token",), "c"),
    "beside a value that holds it": (("x=a%3Ftoken%3Db; token=c; y=?token=1",), "c"),
    "beside the attributes of old": (("$Version=1; token=c; $Path=/",), "c"),
    "with = in it": (("token=c==",), "c=="),
    "no value": (("token=",), "token_invalid"),
    "no value, in quotes": (('token=""',), '""'),
    "in quotes": (('token="c"',), '"c"'),
    "percent-encoded": (("token=%63",), "%63"),
    "two values": (("token=c d",), "token_invalid"),
    "two": (("token=c; token=c",), "token_invalid"),
    "two in crumbs": (("token=c", "x=1; token=d"), "token_invalid"),
    "two, one without a value": (("token; token=c",), "token_invalid"),
    "two, one empty": (("token=; token=c",), "token_invalid"),
    "two by a comma": (("x=1, token=d; token=c",), "token_invalid"),
    "two by a space": (("x=1 token=d; token=c",), "token_invalid"),
    "two by a quote": (('x="1; token=d"; token=c',), "token_invalid"),
    "two by a percent-encoded name": (("%74oken=d; token=c",), "token_invalid"),
    "two by a percent-encoded name, in lower case": (("tok%65n=d; token=c",), "token_invalid"),
    "two by a percent-encoded space": (("%20token=d; token=c",), "token_invalid"),
    "two by a space of Unicode": (("\xc2\xa0token=d; token=c",), "token_invalid"),
    "two by a wide space of Unicode": (("token\xe3\x80\x80=d; token=c",), "token_invalid"),
    "one by a comma": (("x=1, token=d",), "token_invalid"),
    "one by a comma, joined": (("token=c, x=1",), "token_invalid"),
    "one by a percent-encoded name": (("%74%6F%6b%65n=d",), "token_invalid"),
    "none": (("x=1; y=2",), "token_missing"),
    "no cookie": (("",), "token_missing"),
    "only its name": (("token",), "token_invalid"),
}


@pytest.mark.parametrize(("values", "wanted"), COOKIES.values(), ids=COOKIES.keys())
def test_a_cookies_token(values: tuple[str, ...], wanted: str) -> None:
    assert read(ALL, *(("Cookie", value) for value in values)) == wanted


ASKED = {
    "a read": ("GET", False, "c"),
    "a head": ("HEAD", False, "c"),
    "a question": ("OPTIONS", False, "c"),
    "a change": ("POST", False, "cross_origin"),
    "a replacement": ("PUT", False, "cross_origin"),
    "a correction": ("PATCH", False, "cross_origin"),
    "a deletion": ("DELETE", False, "cross_origin"),
    "a WebSocket": ("GET", True, "cross_origin"),
}


@pytest.mark.parametrize(("method", "upgrade", "wanted"), ASKED.values(), ids=ASKED.keys())
def test_what_a_cookie_may_be_used_for(method: str, upgrade: bool, wanted: str) -> None:
    assert read(ALL, COOKIE, method=method, upgrade=upgrade) == wanted
    assert read(ALL, COOKIE, ("Origin", "https://a"), method=method, upgrade=upgrade) == "c"
    assert read(ALL, COOKIE, BEARER, method=method, upgrade=upgrade) == "h"
    assert read(ALL, method=method, upgrade=upgrade) == "token_missing"


def test_the_origins_that_are_listed() -> None:
    listed = TokenPlaces(cookie="token", cookie_origins=frozenset({b"https://b"}))
    assert read(listed, COOKIE, ("Origin", "https://b"), method="POST") == "c"
    assert read(listed, COOKIE, ("Origin", "https://c"), method="POST") == "cross_origin"


SENT_ON: dict[str, tuple[TokenPlaces, Pairs, Pairs]] = {
    "Authorization": (ALL, (BEARER,), (BEARER,)),
    "another header": (
        MOVED,
        (BEARER, ("X-Token", "x"), ("x.TOKEN", "x"), ("X-Token-Not", "y")),
        (BEARER, ("X-Token-Not", "y")),
    ),
    "a subprotocol": (ALL, (OFFER,), ((PROTOCOL, "chat"),)),
    "a subprotocol between others": (
        ALL,
        ((PROTOCOL, "a,b ,authz.bearer.x,  c"), (PROTOCOL, "d,e")),
        ((PROTOCOL, "a, b, c"), (PROTOCOL, "d,e")),
    ),
    "a subprotocol alone": (ALL, ((PROTOCOL, "authz.bearer.x"), (PROTOCOL, "chat")), ((PROTOCOL, "chat"),)),
    "a subprotocol in another spelling": (
        ALL,
        (("Sec.WebSocket.Protocol", 'AUTHZ.BEARER.x, "authz.bearer.y", z authz.bearer.w'),),
        (),
    ),
    "others": (
        ALL,
        ((PROTOCOL, "authz.bear, bearer"), ("Cookie", "x=1")),
        ((PROTOCOL, "authz.bear, bearer"), ("Cookie", "x=1")),
    ),
    "a cookie": (ALL, (COOKIE, ("X", "y")), (("X", "y"),)),
    "a cookie first": (ALL, (("Cookie", "token=c; x=1;y=2"),), (("Cookie", "x=1;y=2"),)),
    "a cookie between others": (ALL, (("Cookie", "x=1; token=c; y=2"),), (("Cookie", "x=1; y=2"),)),
    "a cookie last": (ALL, (("Cookie", "x=1; token=c"),), (("Cookie", "x=1"),)),
    "two cookies": (ALL, (("Cookie", "token=c; x=1; token=d"), COOKIE), (("Cookie", "x=1"),)),
    "a cookie that others read so": (
        ALL,
        (
            (
                "Cookie",
                'a=1, token=x; b="2; token=x"; %74oken=x; \xc2\xa0token=x; token\xc2\xa0=x; tokens=1; c=3',
            ),
        ),
        (("Cookie", 'b="2; tokens=1; c=3'),),
    ),
    "nothing of it": (ALL, (("Cookie", ""), (PROTOCOL, "")), (("Cookie", ""), (PROTOCOL, ""))),
}


@pytest.mark.parametrize(("places", "pairs", "wanted"), SENT_ON.values(), ids=SENT_ON.keys())
def test_what_goes_on_to_the_service(places: TokenPlaces, pairs: Pairs, wanted: Pairs) -> None:
    assert places.without(received(pairs)) == received(wanted)


def test_what_there_is_to_remove() -> None:
    assert not TokenPlaces().removes
    assert TokenPlaces(b"x-token").removes
    assert TokenPlaces(cookie="c").removes


ECHOES = {"authz.bearer.x": True, "chat, AUTHZ.bearer.": True, "chat": False, "": False}


@pytest.mark.parametrize(("value", "echoed"), ECHOES.items())
@pytest.mark.parametrize("name", ["sec-websocket-protocol", "Sec_WebSocket_Protocol"])
def test_an_echo(name: str, value: str, echoed: bool) -> None:
    response = of_response(received(((name, value),)))
    assert ALL.is_echoed(response) is echoed
    assert not TokenPlaces(cookie="token").is_echoed(response)


WORDS = (
    "token",
    "token=T",
    "; token=T",
    "to",
    "ken",
    "a",
    "b=1",
    "%74",
    "%20",
    "$Version",
    "\xa0",
    "\u3000",
    "é",
)
SIGNS = ("; ", *'=;, \t"\\[')


def found_by_others(value: str) -> Iterator[str]:
    """What the parsers of Django and of Python's own library take for the token."""
    yield parse_cookie(value).get("token", "")
    others: SimpleCookie = SimpleCookie()
    with suppress(CookieError):
        others.load(value)
    yield others["token"].value if "token" in others else ""


@given(st.lists(st.sampled_from([*WORDS, *SIGNS]), max_size=9).map("".join))
def test_other_parsers_find_the_same_token_and_none_in_what_goes_on(cookie: str) -> None:
    for _, value in ALL.without([(b"Cookie", cookie.encode())]):
        assert not any(found_by_others(value.decode())), value
    token = read(ALL, ("Cookie", cookie.encode().decode("latin-1")))
    if re.fullmatch("[A-Z]+", token):
        assert set(found_by_others(cookie)) <= {token, ""}


def test_the_prefix_is_a_contract() -> None:
    assert bearer.PREFIX == b"authz.bearer."
    assert Code.CROSS_ORIGIN == "cross_origin"
