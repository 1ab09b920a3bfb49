"""Which request a gateway asks about: one source, once, in one spelling, or refused with the mend."""

from __future__ import annotations

import pytest

from authz_sidecar.config.decisions import ForwardedHeaders
from authz_sidecar.core.fields import FieldList
from authz_sidecar.core.verdicts import FaultCode
from authz_sidecar.decisions import forwarded
from authz_sidecar.decisions.forwarded import Asking, Unanswerable

PAIR = ForwardedHeaders("X-Forwarded-Method", "X-Forwarded-Uri")
OTHER = ForwardedHeaders("X-Original-Method", "X-Original-Uri")
METHOD, URI = (b"X-Forwarded-Method", b"PATCH"), (b"X-Forwarded-Uri", b"/students/1/?a=b")
LONGEST = 100


def asking(*received: tuple[bytes, bytes], method: str = "GET", target: bytes = b"/check") -> Asking:
    return Asking(method, target, received, "192.0.2.1")


def test_two_headers_name_the_request_and_mean_nothing_more() -> None:
    token = (b"Authorization", b"Bearer t")
    head = forwarded.request(PAIR, asking(METHOD, token, URI), LONGEST)
    assert head[:2] == ("PATCH", b"/students/1/?a=b")
    assert head.fields.received == [token]
    assert (head.peer, head.upgrade) == ("192.0.2.1", False)


def test_a_header_names_the_host() -> None:
    """Not the one that the gateway asks at: rules may be for one host alone."""
    three = PAIR._replace(host="X-Forwarded-Host")
    own, said = (b"Host", b"sidecar:9902"), (b"X-Forwarded-Host", b"api.example.org")
    head = forwarded.request(three, asking(own, METHOD, URI, said), LONGEST)
    assert head.fields.values(b"host") == [b"api.example.org"]
    for received in ([], [said, said], [said, (b"X_Forwarded_Host", b"x")]):
        with pytest.raises(Unanswerable, match="X-Forwarded-Host is"):
            forwarded.request(three, asking(own, METHOD, URI, *received), LONGEST)


def test_the_names_are_found_in_any_case() -> None:
    received = [(b"x-forwarded-method", b"PATCH"), (b"X-FORWARDED-URI", b"/")]
    assert forwarded.request(PAIR, asking(*received), LONGEST)[:2] == ("PATCH", b"/")


def test_the_path_names_the_request() -> None:
    head = forwarded.request(None, asking(method="PATCH", target=b"/check/students/1/?a=b"), LONGEST)
    assert head[:2] == ("PATCH", b"/students/1/?a=b")


MALFORMED: dict[str, tuple[ForwardedHeaders | None, bytes, FieldList, str]] = {
    "no method": (PAIR, b"/check", [URI], "X-Forwarded-Method is missing"),
    "no URI": (PAIR, b"/check", [METHOD], "X-Forwarded-Uri is missing"),
    "nothing but the path": (PAIR, b"/check/students/1/", [], "X-Forwarded-Method is missing"),
    "another pair": (OTHER, b"/check", [METHOD, URI], "X-Original-Method is missing"),
    "the method twice": (
        PAIR,
        b"/check",
        [METHOD, METHOD, URI],
        "X-Forwarded-Method is there more than once",
    ),
    "the URI twice": (PAIR, b"/check", [METHOD, URI, URI], "X-Forwarded-Uri is there more than once"),
    "the method with underscores, too": (
        PAIR,
        b"/check",
        [METHOD, (b"X_Forwarded_Method", b"GET"), URI],
        "(X-Forwarded-Method, X_Forwarded_Method)",
    ),
    "the URI with dots, too": (PAIR, b"/check", [METHOD, URI, (b"x.forwarded.uri", b"/")], "x.forwarded.uri"),
    "only another spelling": (
        PAIR,
        b"/check",
        [(b"X_Forwarded_Method", b"PATCH"), URI],
        "in another spelling (X_Forwarded_Method)",
    ),
    "another header for the method": (
        PAIR,
        b"/check",
        [METHOD, URI, (b"X-Original-Method", b"GET")],
        "another header says another method than X-Forwarded-Method",
    ),
    "no path behind the prefix": (None, b"/check", [METHOD, URI], "the path after /check is missing"),
    "a query behind the prefix": (None, b"/check?path=/students/", [], "the path after /check is missing"),
}


@pytest.mark.parametrize(("source", "target", "received", "text"), MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_said_once_is_refused_with_the_mend(
    source: ForwardedHeaders | None, target: bytes, received: FieldList, text: str
) -> None:
    with pytest.raises(Unanswerable) as caught:
        forwarded.request(source, asking(*received, target=target), LONGEST)
    assert caught.value.fault.code is FaultCode.HOOK_MALFORMED
    assert text in caught.value.fault.detail
    assert "let the gateway" in caught.value.fault.detail


def test_a_second_header_that_says_the_same_contradicts_nothing() -> None:
    same = (b"X-Original-Method", b"PATCH")
    assert forwarded.request(PAIR, asking(METHOD, same, URI), LONGEST).method == "PATCH"


def test_a_target_that_is_too_long() -> None:
    with pytest.raises(Unanswerable) as caught:
        forwarded.request(PAIR, asking(METHOD, (b"X-Forwarded-Uri", b"/" * (LONGEST + 1))), LONGEST)
    assert caught.value.fault.code is FaultCode.TARGET_TOO_LONG


HANDSHAKES: list[tuple[str, FieldList, bool]] = [
    ("GET", [(b"Sec-WebSocket-Key", b"k")], True),
    ("GET", [(b"sec-websocket-version", b"13")], True),
    ("GET", [(b"Upgrade", b"WebSocket")], True),
    ("GET", [(b"Upgrade", b"h2c")], False),
    ("POST", [(b"Sec-WebSocket-Key", b"k")], False),
]


@pytest.mark.parametrize(("method", "received", "upgrade"), HANDSHAKES)
def test_a_handshake_is_known_without_its_upgrade(method: str, received: FieldList, upgrade: bool) -> None:
    head = forwarded.request(None, asking(*received, method=method, target=b"/check/socket/"), LONGEST)
    assert head.upgrade is upgrade


TARGETS = {
    b"/check": True,
    b"/check/": True,
    b"/check?x": True,
    b"/checks": False,
    b"/": False,
    b"//check": False,
    b"/Check": False,
}


@pytest.mark.parametrize(("target", "is_check"), TARGETS.items())
def test_what_asks(target: bytes, is_check: bool) -> None:
    assert forwarded.is_check(target) is is_check
