"""A field whose name two sides spell differently, or that speaks for somebody else: dropped or refused."""

from __future__ import annotations

import pytest

from lab.wire.front import Front, statuses
from lab.wire.parsers import Request

HOST = b"Host: 127.0.0.1\r\n"
GET = b"GET /students/1/ HTTP/1.1\r\n" + HOST
DELETE = b"DELETE /students/1/ HTTP/1.1\r\n" + HOST
TOKEN = b"Authorization: Bearer <%b>\r\n"
END = b"\r\n"

# CGI and WSGI know these only by their folded names: X-A and X_A are both HTTP_X_A.
FOLDED = str.maketrans("-.", "__")


def folded(request: Request) -> dict[str, str]:
    return {name.translate(FOLDED): value for name, value in request.fields}


# Fields that nobody but a proxy may set. CVE-2025-64484, CVE-2026-39858, GHSA-f59h-q822-g45g: their names
# with _ for -. GHSA-7r4p-vjf4-gxv4, CVE-2026-31908, CVE-2026-39998: a client that names itself.
DROPPED = {
    "an identity": b"X-Authz-User: admin",
    "an identity in lower case": b"x-authz-user: admin",
    "an identity with underscores": b"X_Authz_User: admin",
    "an identity with one underscore": b"X-Authz_User: admin",
    "an identity with dots": b"X.Authz.User: admin",
    "both spellings": b"X-Authz-User: admin\r\nX_Authz_User: bob",
    # GHSA-6384-m2mw-rf54, CVE-2026-40575: where the request was to go at first
    "a prefix": b"X-Forwarded-Prefix: /open",
    "a URI": b"X-Forwarded-Uri: /open/x",
    "a URI with dots": b"X.Forwarded.Uri: /open/x",
    "a method": b"X-Forwarded-Method: GET",
    "a port": b"X-Forwarded-Port: 443",
    "a server": b"X-Forwarded-Server: x",
    "the standard field": b"Forwarded: for=9.9.9.9;proto=https;host=x",
    "an address": b"X-Real-IP: 9.9.9.9",
    "a URL that was": b"X-Original-URL: /open/x",
    "a URL to be": b"X-Rewrite-URL: /open/x",
    "the older names of the scheme": b"X-Forwarded-Protocol: ssl\r\nX-Forwarded-Ssl: on",
    # what CGI makes of a name; https://httpoxy.org
    "a script name": b"SCRIPT_NAME: /students",
    "a path": b"PATH_INFO: /open/x",
    "a user": b"REMOTE_USER: admin",
    "a proxy for the service": b"Proxy: http://x/",
    # what is of one hop only
    "a credential for the proxy": b"Proxy-Authorization: Bearer <admin>",
    "an upgrade": b"Connection: Upgrade\r\nUpgrade: h2c",
    "settings of HTTP/2": b"HTTP2-Settings: AAMAAABkAAQ",
    "what Connection names": b"Connection: close, X-Hop\r\nX-Hop: 1",
}


@pytest.mark.parametrize("fields", DROPPED.values(), ids=DROPPED.keys())
async def test_a_field_that_only_a_proxy_may_set_does_not_pass(front: Front, fields: bytes) -> None:
    assert statuses(await front.ask(GET + fields + END * 2)) == [200]
    (arrived,) = await front.arrived()
    sent = {line.partition(b":")[0].decode().upper() for line in fields.split(END)}
    assert not {name.translate(FOLDED) for name in sent} & folded(arrived).keys()
    assert not any("_" in name for name, _ in arrived.fields)


# The same with another meaning: the sidecar's own value, whatever the client says.
REPLACED = {
    "the scheme": (b"X-Forwarded-Proto: https", "X-FORWARDED-PROTO", ["http"]),
    "the host": (b"X-Forwarded-Host: x", "X-FORWARDED-HOST", ["127.0.0.1"]),
    "the address": (b"X-Forwarded-For: 9.9.9.9", "X-FORWARDED-FOR", ["127.0.0.1"]),
    "the address with underscores": (b"X_Forwarded_For: 9.9.9.9", "X-FORWARDED-FOR", ["127.0.0.1"]),
    "the address, twice": (
        b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: ::1",
        "X-FORWARDED-FOR",
        ["127.0.0.1"],
    ),
    "the id, if there are two": (b"X-Request-Id: one\r\nX-Request-Id: one", "X-REQUEST-ID", None),
    "the id, if it could forge a log": (b'X-Request-Id: x" y', "X-REQUEST-ID", None),
    # CVE-2025-48865, and Traefik #12690: the proxy drops the field it has just set
    "a field that Connection names": (b"Connection: X-Forwarded-For", "X-FORWARDED-FOR", ["127.0.0.1"]),
    "a field that Connection names twice": (
        b"Connection: x-forwarded-proto,\t X-Forwarded-Proto\r\nConnection: X-FORWARDED-PROTO",
        "X-FORWARDED-PROTO",
        ["http"],
    ),
}


@pytest.mark.parametrize(("fields", "name", "wanted"), REPLACED.values(), ids=REPLACED.keys())
async def test_what_the_sidecar_says_of_a_request_is_its_own(
    front: Front, fields: bytes, name: str, wanted: list[str] | None
) -> None:
    assert statuses(await front.ask(GET + fields + END * 2)) == [200]
    (arrived,) = await front.arrived()
    values = [value for each, value in arrived.fields if each == name]
    assert len(values) == 1
    assert values == wanted or (wanted is None and values[0].encode() not in fields)


class TestWhatTheServiceBelieves:
    """Each is also tried on the service itself: what does no harm there would prove nothing."""

    async def test_a_script_name_moves_no_request(self, front: Front) -> None:
        """gunicorn takes this field from a local peer and then serves /students/1/."""
        attack = (
            b"PATCH /open/students/1/ HTTP/1.1\r\n"
            + HOST
            + b"SCRIPT_NAME: /open\r\nContent-Length: 0\r\n\r\n"
        )
        assert statuses(await front.ask(attack)) == [404]
        assert [request.target for request in await front.arrived()] == ["/open/students/1/"]
        assert not front.changed
        assert statuses(await front.ask_directly(attack)) == [200]
        assert front.changed

    async def test_a_scheme_is_not_believed(self, front: Front) -> None:
        attack = b"GET /students/?page_size=1 HTTP/1.1\r\n" + HOST + b"X-Forwarded-Proto: https\r\n\r\n"
        direct, answer = await front.ask_directly(attack), await front.ask(attack)
        assert [b'"https://' in each for each in (direct, answer)] == [True, False]


REFUSED = {
    # CVE-2026-26308: only one of several is checked
    "two tokens": (TOKEN % b"admin" + TOKEN % b"admin", 400),
    "two tokens, one good": (TOKEN % b"admin" + b"Authorization: Bearer x\r\n", 400),
    "two tokens, the other good": (b"Authorization: Bearer x\r\n" + TOKEN % b"admin", 400),
    "two tokens in other letters": (TOKEN % b"admin" + b"AUTHORIZATION: Basic eDp5\r\n", 400),
    "a list of tokens": (b"Authorization: Bearer <bob>, Bearer <admin>\r\n", 401),
    "a list without a space": (b"Authorization: Bearer <admin>,<admin>\r\n", 401),
    "two tokens in one field": (b"Authorization: Bearer <admin> <admin>\r\n", 401),
    "another scheme": (b"Authorization: Basic <admin>\r\n", 401),
    "no scheme": (b"Authorization: <admin>\r\n", 401),
    "a tab for a space": (b"Authorization: Bearer\t<admin>\r\n", 401),
    "a token in a field of almost that name": (b"Authorization_: Bearer <admin>\r\n", 401),
    "a token in a forwarded field": (b"X-Forwarded-Authorization: Bearer <admin>\r\n", 401),
    "a token in a cookie": (b"Cookie: access=<admin>\r\n", 401),
    "bytes outside ASCII in the token": (b"Authorization: Bearer <admin>\xc3\xa9\r\n", 401),
    "bytes outside ASCII in the scheme": (b"Authorization: Beare\xff <admin>\r\n", 401),
    # who asks whom for what, and where the message ends, is not for Connection to remove
    "Connection names the token": (TOKEN % b"admin" + b"Connection: Authorization\r\n", 400),
    "Connection names the host": (TOKEN % b"admin" + b"Connection: close, HOST\r\n", 400),
    "Connection names the cookie": (TOKEN % b"admin" + b"Connection: cookie\r\n", 400),
    "Connection names the length": (TOKEN % b"admin" + b"Connection: Content-Length\r\n", 400),
    "Connection names the coding": (TOKEN % b"admin" + b"Connection: Transfer-Encoding\r\n", 400),
    # CVE-2026-34525, and CVE-2026-22815: heads without bound
    "two hosts": (TOKEN % b"admin" + b"Host: x\r\n", 400),
    "two hosts alike": (TOKEN % b"admin" + HOST, 400),
    "a host with a dot for nothing": (TOKEN % b"bob" + b"Ho.st: x\r\n", 403),
    "too many fields": (TOKEN % b"admin" + b"X: y\r\n" * 300, 431),
    "a field too long": (TOKEN % b"admin" + b"X: " + b"y" * 2**17 + b"\r\n", 431),
    "a name too long": (TOKEN % b"admin" + b"x" * 2**17 + b": y\r\n", 431),
    # methods in a field
    "another method": (TOKEN % b"bob" + b"X-HTTP-Method-Override: PATCH\r\n", 400),
    "another method in lower case": (TOKEN % b"bob" + b"x-http-method-override: PATCH\r\n", 400),
    "another method with underscores": (TOKEN % b"bob" + b"X_HTTP_Method_Override: PATCH\r\n", 400),
    "another method with dots": (TOKEN % b"bob" + b"X.HTTP.Method.Override: PATCH\r\n", 400),
    "another method, shorter": (TOKEN % b"bob" + b"X-HTTP-Method: PATCH\r\n", 400),
    "another method, in other words": (TOKEN % b"bob" + b"X-Method-Override: PATCH\r\n", 400),
}


@pytest.mark.parametrize(("fields", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_request_with_such_fields_is_refused(front: Front, fields: bytes, status: int) -> None:
    assert statuses(await front.ask(DELETE + fields + END)) == [status]
    await front.nothing_arrived()


@pytest.mark.parametrize(
    "fields",
    [
        b"X-HTTP-Method-Override: DELETE\r\n",
        b"Host: x\r\n",
        b"Connection: host\r\n",
        # what a gateway's hook sends when it is pointed at the proxied port
        b"X-Forwarded-Method: DELETE\r\nX-Forwarded-Uri: /students/1/\r\n",
        b"X-Original-Method: DELETE\r\nX-Original-URI: /students/1/\r\n",
        b"x_forwarded.METHOD: delete\r\n",
    ],
)
async def test_what_no_request_may_have_an_open_one_may_not_have_either(front: Front, fields: bytes) -> None:
    assert statuses(await front.ask(GET + fields + END)) == [400]
    await front.nothing_arrived()


METHODS = {
    b"delete": 501,
    b"Delete": 501,
    b"dELETE": 501,
    b"post": 501,
    b"get": 501,
    b"PURGE": 501,
    b"PROPFIND": 501,
    b"MKCOL": 501,
    b"LOCK": 501,
    b"LINK": 501,
    b"SEARCH": 501,
    b"QUERY": 501,
    b"M-SEARCH": 501,
    b"DELETEX": 501,
    b"DEL": 501,
    b"X": 501,
    b"GET\t": 501,
    b"G\xc3\x89T": 501,
    b"TRACE": 405,
    b"CONNECT": 405,
}


@pytest.mark.parametrize(("method", "status"), METHODS.items())
async def test_a_method_that_is_not_known_is_not_safe(front: Front, method: bytes, status: int) -> None:
    request = method + b" /students/1/ HTTP/1.1\r\n" + HOST + TOKEN % b"admin" + END
    assert statuses(await front.ask(request)) == [status]
    await front.nothing_arrived()


async def test_a_method_in_the_query_or_the_body_is_none(front: Front) -> None:
    body = b"_method=DELETE"
    form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    attack = b"OPTIONS /students/1/?_method=DELETE&method=DELETE HTTP/1.1\r\n" + HOST + form
    assert statuses(await front.ask(attack)) == [200]
    assert [request.method for request in await front.arrived()] == ["OPTIONS"]
    assert not front.changed


async def test_every_byte_of_a_field_arrives(front: Front) -> None:
    odd = b"X-Odd: \x80\xff\xc3\xa9\t!\"'();=?\r\nX-Odd: \r\nx-oDD: again\r\nX-: y\r\nX!#$%&'*+^`|~: z\r\n"
    assert statuses(await front.ask(GET + odd + END)) == [200]
    assert odd in front.tap.received
    await front.arrived()
