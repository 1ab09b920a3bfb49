"""Which page a browser's request comes from: what is not said once and without contradiction is no."""

from __future__ import annotations

import pytest

from authz_sidecar.core import origins
from authz_sidecar.core.fields import FieldList, of_request
from authz_sidecar.core.verdicts import RequestHead

OWN, OTHER, LISTED = b"https://api.example", b"https://evil.example", b"https://app.example"
Said = tuple[bytes, ...]


def asked(sites: Said, named: Said, own: bytes = OWN) -> RequestHead:
    fields = [(b"Sec-Fetch-Site", site) for site in sites] + [(b"Origin", origin) for origin in named]
    return RequestHead("POST", b"/", of_request(fields), "192.0.2.1", origin=own)


OURS: dict[str, tuple[Said, Said]] = {
    "the same origin by its relation": ((b"same-origin",), ()),
    "the same origin by its name": ((), (OWN,)),
    "both": ((b"same-origin",), (OWN,)),
    "one that is listed": ((), (LISTED,)),
    "one that is listed, of another site": ((b"cross-site",), (LISTED,)),
    "one that is listed, of the same site": ((b"same-site",), (LISTED,)),
    "one that is listed, because a proxy changes Host": ((b"same-origin",), (LISTED,)),
}
NOT_OURS: dict[str, tuple[Said, Said]] = {
    "nothing is said": ((), ()),
    "the same site": ((b"same-site",), ()),
    "another site": ((b"cross-site",), ()),
    "the user": ((b"none",), ()),
    "the user, though listed": ((b"none",), (LISTED,)),
    "an unknown relation, though listed": ((b"sibling",), (LISTED,)),
    "an opaque origin": ((), (b"null",)),
    "an opaque origin of the same origin": ((b"same-origin",), (b"null",)),
    "another origin": ((), (OTHER,)),
    "at odds: another origin": ((b"same-origin",), (OTHER,)),
    "at odds: another site": ((b"cross-site",), (OWN,)),
    "at odds: the same site": ((b"same-site",), (OWN,)),
    "at odds: the user": ((b"none",), (OWN,)),
    "an empty relation": ((b"",), ()),
    "an empty relation beside its name": ((b"",), (OWN,)),
    "an empty origin": ((), (b"",)),
    "an empty origin of the same origin": ((b"same-origin",), (b"",)),
    "two relations": ((b"same-origin", b"same-origin"), ()),
    "two relations, the other first": ((b"cross-site", b"same-origin"), (OWN,)),
    "two origins": ((), (OWN, OWN)),
    "two origins in one": ((), (OWN + b", " + OWN,)),
    "two origins in one, with a space": ((), (OTHER + b" " + OWN,)),
    "another relation's letters": ((b"Same-Origin",), ()),
    "two relations in one": ((b"same-origin, same-origin",), ()),
    "another scheme": ((), (b"http://api.example",)),
    "another port": ((), (OWN + b":8443",)),
    "the usual port, which no browser writes": ((), (OWN + b":443",)),
    "upper case, which no browser writes": ((), (b"https://API.example",)),
    "another name that ends so": ((), (b"https://evil-api.example",)),
    "another name that begins so": ((), (OWN + b".evil.example",)),
    "with a path": ((), (OWN + b"/",)),
    "with a user": ((), (b"https://api.example@evil.example",)),
    "a trailing dot": ((), (OWN + b".",)),
    "the name alone": ((), (b"api.example",)),
    "a letter that looks alike": ((), ("https://аpi.example".encode(),)),  # noqa: RUF001 (that is the attack)
}


@pytest.mark.parametrize(("sites", "named"), OURS.values(), ids=OURS.keys())
def test_a_page_that_may(sites: Said, named: Said) -> None:
    assert origins.is_from(asked(sites, named), frozenset({LISTED}))


@pytest.mark.parametrize(("sites", "named"), NOT_OURS.values(), ids=NOT_OURS.keys())
def test_a_page_that_may_not(sites: Said, named: Said) -> None:
    assert not origins.is_from(asked(sites, named), frozenset({LISTED}))


@pytest.mark.parametrize("named", [(b"",), (OWN,), (b"null",)])
def test_an_origin_that_is_not_known_is_nobodys(named: Said) -> None:
    assert not origins.is_from(asked((), named, own=b""), frozenset())
    assert not origins.is_from(asked((b"same-origin",), named, own=b""), frozenset())


@pytest.mark.parametrize(
    "name", [b"Sec_Fetch_Site", b"Sec.Fetch.Site", b"Sec-Fetch-Site ", b"X-Sec-Fetch-Site"]
)
def test_another_spelling_says_nothing(name: bytes) -> None:
    head = RequestHead("POST", b"/", of_request([(name, b"same-origin")]), "192.0.2.1", origin=OWN)
    assert not origins.is_from(head, frozenset())


PROTO, HOST = b"X-Forwarded-Proto", b"X-Forwarded-Host"
ADDRESSED: dict[str, tuple[FieldList, str, bool, bytes]] = {
    "plain": ([(b"Host", b"a.example")], "http", False, b"http://a.example"),
    "TLS": ([(b"Host", b"a.example")], "https", False, b"https://a.example"),
    "a port": ([(b"Host", b"a.example:8080")], "http", False, b"http://a.example:8080"),
    "the usual port": ([(b"Host", b"a.example:80")], "http", False, b"http://a.example"),
    "the usual port of TLS": ([(b"Host", b"a.example:443")], "https", False, b"https://a.example"),
    "the other's usual port": ([(b"Host", b"a.example:443")], "http", False, b"http://a.example:443"),
    "upper case": ([(b"HOST", b"A.Example")], "http", False, b"http://a.example"),
    "IPv6": ([(b"Host", b"[2001:DB8::80]:80")], "http", False, b"http://[2001:db8::80]"),
    "IPv6 with a port": ([(b"Host", b"[::1]:8080")], "http", False, b"http://[::1]:8080"),
    "no host": ([], "http", False, b""),
    "an empty host": ([(b"Host", b"")], "http", False, b""),
    "two hosts": ([(b"Host", b"a"), (b"Host", b"a")], "http", False, b""),
    "anybody's word": (
        [(b"Host", b"a"), (PROTO, b"https"), (HOST, b"evil.example")],
        "http",
        False,
        b"http://a",
    ),
    "a proxy's word on the scheme": ([(b"Host", b"a"), (PROTO, b"https")], "http", True, b"https://a"),
    "on the host": ([(b"Host", b"a"), (HOST, b"B.example:443")], "https", True, b"https://b.example"),
    "on a WebSocket": ([(b"Host", b"a"), (PROTO, b"wss")], "http", True, b"https://a"),
    "on a WebSocket without TLS": ([(b"Host", b"a"), (PROTO, b"ws")], "https", True, b"http://a"),
    "its silence": ([(b"Host", b"a:80")], "http", True, b"http://a"),
    "two schemes": ([(b"Host", b"a"), (PROTO, b"https"), (PROTO, b"https")], "http", True, b""),
    "two schemes in one": ([(b"Host", b"a"), (PROTO, b"https, http")], "http", True, b""),
    "an unknown scheme": ([(b"Host", b"a"), (PROTO, b"ftp")], "http", True, b""),
    "no scheme": ([(b"Host", b"a"), (PROTO, b"")], "http", True, b""),
    "two forwarded hosts": ([(b"Host", b"a"), (HOST, b"a"), (HOST, b"a")], "http", True, b""),
    "another spelling": ([(b"Host", b"a"), (b"X_Forwarded_Proto", b"https")], "http", True, b"http://a"),
}


@pytest.mark.parametrize(("fields", "scheme", "trusted", "wanted"), ADDRESSED.values(), ids=ADDRESSED.keys())
def test_the_origin_that_a_request_was_sent_to(
    fields: FieldList, scheme: str, trusted: bool, wanted: bytes
) -> None:
    assert origins.addressed(of_request(fields), scheme, trusted=trusted) == wanted


def test_two_forwarded_hosts_in_one_are_no_browsers_origin() -> None:
    found = origins.addressed(of_request([(HOST, b"a, b")]), "http", trusted=True)
    assert found == b"http://a, b"
