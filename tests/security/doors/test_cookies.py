"""A token in a cookie: of use to the service's own pages alone, where every parser finds the same one."""

from __future__ import annotations

from lab.wire.front import Front, statuses

OWN = b"Origin: http://localhost\r\n"
DELETE = b"DELETE /students/1/ HTTP/1.1\r\nHost: localhost\r\n"
ASK = (
    b"GET /socket/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
END = b"\r\n"
COOKIE = b"Cookie: token=<admin>\r\n"
SITE = b"Sec-Fetch-Site: same-origin\r\n"


def page(fields: bytes) -> tuple[bytes, str]:
    return DELETE + COOKIE + fields, "cross_origin"


FROM_ELSEWHERE = {
    "nothing said": page(b""),
    "another site": page(b"Sec-Fetch-Site: cross-site\r\nOrigin: http://evil.example\r\n"),
    "another site that hides its name": page(b"Sec-Fetch-Site: cross-site\r\nOrigin: null\r\n"),
    "the same site": page(b"Sec-Fetch-Site: same-site\r\nOrigin: http://other.localhost\r\n"),
    "the same site alone": page(b"Sec-Fetch-Site: same-site\r\n"),
    "typed in": page(b"Sec-Fetch-Site: none\r\n"),
    "an opaque origin": page(b"Origin: null\r\n"),
    "an opaque origin at odds": page(b"Origin: null\r\n" + SITE),
    "at odds": page(b"Sec-Fetch-Site: cross-site\r\n" + OWN),
    "at odds the other way": page(b"Origin: http://evil.example\r\n" + SITE),
    "two relations": page(b"Sec-Fetch-Site: cross-site\r\n" + SITE),
    "two relations in one": page(b"Sec-Fetch-Site: same-origin, cross-site\r\n"),
    "two origins": page(OWN + b"Origin: http://evil.example\r\n"),
    "another scheme": page(b"Origin: https://localhost\r\n"),
    "a scheme that anybody says": page(b"Origin: https://localhost\r\nX-Forwarded-Proto: https\r\n"),
    "a host that anybody says": page(b"Origin: http://evil.example\r\nX-Forwarded-Host: evil.example\r\n"),
    "a standard field that anybody says": page(
        b"Origin: https://evil.example\r\nForwarded: host=evil.example;proto=https\r\n"
    ),
    "another port": page(b"Origin: http://localhost:8080\r\n"),
    "a longer name": page(b"Origin: http://localhost.evil.example\r\n"),
    "a name that ends so": page(b"Origin: http://evillocalhost\r\n"),
    "a user": page(b"Origin: http://localhost@evil.example\r\n"),
    "a path": page(b"Origin: http://localhost/\r\n"),
    "in upper case": page(b"Origin: HTTP://LOCALHOST\r\n"),
    "with a trailing dot": page(b"Origin: http://localhost.\r\n"),
    "an empty origin": page(b"Origin:\r\n" + SITE),
    "by its address": page(b"Origin: http://127.0.0.1\r\n"),
    "by its other address": page(b"Origin: http://[::1]\r\n"),
    "in letters that look alike": page("Origin: http://lοcalhost\r\n".encode()),  # noqa: RUF001 (an attack)
    "percent-encoded": page(b"Origin: http://%6cocalhost\r\n"),
    "in other spellings": page(b"Sec_Fetch_Site: same-origin\r\nSec.Fetch.Site: same-origin\r\n"),
    "a referrer": page(b"Referer: http://localhost/\r\n"),
    "almost the listed one": page(b"Origin: https://app.example.evil.example\r\n"),
    "the listed one, not by TLS": page(b"Origin: http://app.example\r\n"),
    "the listed one, typed in": page(b"Origin: https://app.example\r\nSec-Fetch-Site: none\r\n"),
    "a change by another name": (
        DELETE + COOKIE + b"X-HTTP-Method-Override: GET\r\n" + OWN,
        "method_override",
    ),
    "a WebSocket": (ASK + COOKIE, "cross_origin"),
    "a WebSocket of another site": (ASK + COOKIE + b"Origin: http://evil.example\r\n", "cross_origin"),
    "a WebSocket of a page that has no origin": (ASK + COOKIE + b"Origin: null\r\n", "cross_origin"),
}


async def test_a_cookie_is_worth_nothing_to_other_pages(front: Front) -> None:
    await front.refuses(FROM_ELSEWHERE)


COOKIES = {
    "two": b"Cookie: token=<admin>; token=<admin>\r\n",
    "two fields": b"Cookie: token=<bob>\r\nCookie: token=<admin>\r\n",
    "two, the first one bad": b"Cookie: token=x; token=<admin>\r\n",
    "two, one by a comma": b"Cookie: token=<admin>, token=<admin>\r\n",
    "two, one percent-encoded": b"Cookie: token=<admin>; %74oken=<bob>\r\n",
    "two, one behind a space of Unicode": b"Cookie: token=<admin>; \xc2\xa0token=<bob>\r\n",
    "two, one in another's quotes": b'Cookie: x="; token=<bob>"; token=<admin>\r\n',
    "by a comma": b"Cookie: x=1, token=<admin>\r\n",
    "by a space": b"Cookie: x=1 token=<admin>\r\n",
    "percent-encoded": b"Cookie: %74%6f%6B%65%6e=<admin>\r\n",
    "in quotes": b'Cookie: token="<admin>"\r\n',
    "with attributes of old": b'Cookie: $Version=1; token="<admin>"; $Path="/"\r\n',
    "in quotes that do not end": b'Cookie: token="<admin>\r\n',
    "with the word before it": b"Cookie: token=Bearer <admin>\r\n",
    "with the word before it, encoded": b"Cookie: token=Bearer%20<admin>\r\n",
    "bad": b"Cookie: token=<admin>x\r\n",
    "empty": b"Cookie: token=\r\n",
    "of who may not": b"Cookie: token=<alice>\r\n",
    "of another name": b"Cookie: Token=<admin>; tokens=<admin>; atoken=<admin>; token.=<admin>\r\n",
    "in a field of almost that name": b"Cookie2: token=<admin>\r\nCookies: token=<admin>\r\n",
    "behind a bad header": b"Authorization: Bearer x\r\nCookie: token=<admin>\r\n",
    "behind another header": b"Authorization: Basic eDp5\r\nCookie: token=<admin>\r\n",
    "behind an empty header": b"Authorization:\r\nCookie: token=<admin>\r\n",
    "in a folded line": b"Cookie: x=1;\r\n token=<admin>\r\n",
    "with a tab for its end": b"Cookie: token=<admin>\t<bob>\r\n",
    "with a line feed": b"Cookie: x=1\ntoken=<admin>\r\n",
    "with NUL": b"Cookie: token=<admin>\0\r\n",
    "in a field that Connection names": b"Cookie: token=<admin>\r\nConnection: cookie\r\n",
}


async def test_a_cookie_that_two_sides_could_read_differently(front: Front) -> None:
    for name, fields in COOKIES.items():
        (status,) = statuses(await front.ask(DELETE + OWN + fields + END))
        assert status in (400, 401, 403), name
    await front.nothing_arrived()
