"""The request target: nothing that two parsers could read differently is ever matched."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authz_sidecar.core import target
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.verdicts import Code


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/students/", "/students/"),
        (b"/students/1", "/students/1"),
        (b"/students/?", "/students/"),
        (b"/students/?a=/../b&c=%2f;d", "/students/"),
        (b"/%73tudents/", "/students/"),
        (b"/a%20b/", "/a b/"),
        (b"/caf%C3%A9/", "/café/"),
        (b"/%e2%82%ac", "/€"),
        (b"/a.b/..c/.well-known/...", "/a.b/..c/.well-known/..."),
        (b"/~a-b_c!$&'()*+,=:@|", "/~a-b_c!$&'()*+,=:@|"),
    ],
)
def test_accepted(raw: bytes, path: str) -> None:
    target.check_form(raw, "GET")
    assert target.path(raw) == path


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "options"])
def test_everything_is_for_options_only(method: str) -> None:
    target.check_form(b"*", "OPTIONS")
    with pytest.raises(Refused):
        target.check_form(b"*", method)


@pytest.mark.parametrize(
    ("raw", "method", "wanted"),
    [
        (b"http://host/students/?a=b", "GET", b"/students/?a=b"),
        (b"HTTP://HOST/Students/", "GET", b"/Students/"),
        (b"http://host", "GET", b"/"),
        (b"http://host?a", "GET", b"/?a"),
        (b"http://host", "OPTIONS", b"*"),
        (b"http://host/", "OPTIONS", b"/"),
        (b"http://host//a/../b", "GET", b"//a/../b"),
    ],
)
def test_the_url_of_this_server_is_its_path(raw: bytes, method: str, wanted: bytes) -> None:
    assert target.origin_form(raw, method, b"http", [b"Host"]) == wanted


@pytest.mark.parametrize(
    ("raw", "hosts"),
    [
        (b"http://other/", [b"host"]),
        (b"http://host:80/", [b"host"]),
        (b"http://host./", [b"host"]),
        (b"http://host/", []),
        (b"http://host/", [b"host", b"host"]),
        (b"https://host/", [b"host"]),
        (b"ws://host/", [b"host"]),
        (b"http:/host/", [b"host"]),
        (b"http:host", [b"host"]),
        (b"http:///a", [b""]),
        (b"http://", [b""]),
        (b"http://user@host/", [b"host"]),
        (b"http://user@host/", [b"user@host"]),
        (b"http://:@host/", [b"host"]),
        (b"host:443", [b"host:443"]),
        (b"*", [b"host"]),
        (b"http://host#a", [b"host"]),
    ],
)
def test_the_url_of_another_server_is_no_target(raw: bytes, hosts: list[bytes]) -> None:
    with pytest.raises(Refused):
        target.check_form(target.origin_form(raw, "GET", b"http", hosts), "GET")


NOT_A_FORM = [
    b"",
    b"students/",
    b"?a",
    b"http://host/students/",
    b"host:443",
    b"//host\x00/",
    b"/a b",
    b"/a\tb",
    b"/a\r\nb",
    b"/a\x7fb",
    b"/a#b",
    b"/a?b#c",
    b"/caf\xc3\xa9",
    b"/?\xff",
    b"*/",
    b"**",
]

AMBIGUOUS = [
    b"*",
    b"//",
    b"//students/1/",
    b"///",
    b"/students//1/",
    b"/students/1//",
    b"/.",
    b"/..",
    b"/./students/",
    b"/public/../students/1/",
    b"/students/1/..",
    b"/public/%2e%2e/students/1/",
    b"/public/.%2E/students/1/",
    b"/public/%2e/students/1/",
    b"/public/..%2fstudents/1/",
    b"/public/..%5Cstudents",
    b"/public\\..\\students",
    b"/a%2Fb",
    b"/a%5cb",
    b"/a;b=c/",
    b"/a%3Bb",
    b"/..;/students",
    b"/a%3fb",
    b"/a%23b",
    b"/a%25b",
    b"/%252e%252e/",
    b"/%25%32%65/",
    b"/a%00b",
    b"/a%0ab",
    b"/a%1F",
    b"/a%7f",
    b"/%",
    b"/%7",
    b"/%zz",
    b"/%u002e",
    b"/%c0%ae%c0%ae/",
    b"/%c0%af",
    b"/%e0%80%af",
    b"/%f0%82%82%ac",
    b"/%ed%a0%80",
    b"/%ff",
    b"/caf%E9",
]


@pytest.mark.parametrize("raw", NOT_A_FORM)
def test_a_malformed_target_is_refused_for_every_request(raw: bytes) -> None:
    for step in (partial(target.check_form, method="OPTIONS"), target.path):
        with pytest.raises(Refused) as caught:
            step(raw)
        assert caught.value.code is Code.BAD_TARGET


@pytest.mark.parametrize("raw", AMBIGUOUS)
def test_an_ambiguous_path_is_refused_where_a_rule_could_apply(raw: bytes) -> None:
    target.check_form(raw, "OPTIONS")
    with pytest.raises(Refused) as caught:
        target.path(raw)
    assert caught.value.code is Code.BAD_TARGET


PIECES = st.sampled_from(
    [b"/", b".", b"..", b"%2e", b"%2F", b"%25", b"\\", b";", b"a", b"%C3%A9", b"?", b"%"]
)


@given(st.binary(max_size=40) | st.lists(PIECES, max_size=12).map(b"".join).map(b"/".__add__))
@example(b"/%2525")
def test_anything_is_refused_or_read_alike_by_every_parser(raw: bytes) -> None:
    try:
        path = target.path(raw)
    except Refused:
        return
    segments = path.split("/")
    assert not {".", ".."} & set(segments)
    assert "" not in segments[1:-1]
    encoded = raw.partition(b"?")[0].decode("ascii")
    assert [unquote(segment, errors="strict") for segment in encoded.split("/")] == segments
    assert unquote(path) == path


@given(st.text(st.characters(exclude_characters="/\\;?#%", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_every_other_text_survives_as_one_segment(text: str) -> None:
    if text not in {".", ".."}:
        assert target.path(b"/" + quote(text).encode() + b"/") == f"/{text}/"
