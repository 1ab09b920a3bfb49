"""What the service is told of who asks: nobody else can say it, in any spelling, on any request."""

from __future__ import annotations

from typing import Any

import pytest

from lab.wire.front import Front, statuses

HOST = b"Host: localhost\r\n"
FORGED = (
    b"X-Authz-Subject: root",
    b"x-authz-subject: root",
    b"X_AUTHZ_SUBJECT: root",
    b"X.Authz.Subject: root",
    b"X-Authz_Name: root",
    b"X-AUTHZ-REVISION: root.1",
    b"X-Authz-Identity: root",
    b"X-Authz-Anything: root",
    b"X-Authz-Subject: root\r\nX-Authz-Subject: root",
    b"X-Authz-Subject:\r\nConnection: close, X-Authz-Subject",
    b"Connection: close, X-Authz-Subject, x-authz-name",
)
# Which request, by whose token, and whose it is said to be.
REQUESTS = {
    "a read": (b"GET /students/1/", b"Authorization: Bearer <carol>\r\n", "carol"),
    "a read by cookie": (b"GET /students/1/", b"Cookie: token=<carol>\r\n", "carol"),
    "a read of nobody": (b"GET /students/1/", b"", None),
    "a read with a bad token": (b"GET /students/1/", b"Authorization: Bearer x\r\n", None),
    "a read with a bad header and a good cookie": (
        b"GET /students/1/",
        b"Authorization: Bearer x\r\nCookie: token=<carol>\r\n",
        None,
    ),
    "a read with two cookies": (b"GET /students/1/", b"Cookie: token=<carol>; token=<bob>\r\n", None),
    "an open change": (b"POST /open/x", b"Authorization: Bearer <carol>\r\n", "carol"),
    "an open change of another page": (
        b"POST /open/x",
        b"Cookie: token=<carol>\r\nOrigin: http://evil.example\r\n",
        None,
    ),
}


@pytest.mark.parametrize(("line", "token", "who"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_only_the_sidecar_says_who_asks(
    front: Front, issuer: Any, line: bytes, token: bytes, who: str | None
) -> None:
    for forged in FORGED:
        request = line + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n" + token + forged + b"\r\n\r\n"
        assert statuses(await front.ask(request)) != [401]
    arrived = await front.arrived()
    assert len(arrived) == len(FORGED)
    for request in arrived:
        said = {name: value for name, value in request.fields if name.translate(_FOLD).startswith("X_AUTHZ_")}
        assert said.get("X-AUTHZ-SUBJECT") == (issuer.claims(who)["sub"] if who else None)
        assert set(said) <= {"X-AUTHZ-SUBJECT", "X-AUTHZ-REVISION"}
        assert not any("root" in value for value in said.values())


_FOLD = str.maketrans("-.", "__")


async def test_a_name_cannot_leave_its_line(front: Front, issuer: Any) -> None:
    """Whatever an issuer lets its users call themselves."""
    names = ("a\r\nX-Authz-Subject: root", "a, b", "ä", "\ud7ff", "a\0b", "%0d%0a", " ", "x" * 3000, "\u2028")
    for name in names:
        token = issuer.sign(issuer.header, issuer.claims("carol") | {"preferred_username": name})
        await front.ask(
            b"GET /students/1/ HTTP/1.1\r\n" + HOST + b"Authorization: Bearer " + token.encode() + b"\r\n\r\n"
        )
    arrived = await front.arrived()
    assert len(arrived) == len(names)
    for request in arrived:
        subjects = [value for field, value in request.fields if field == "X-AUTHZ-SUBJECT"]
        assert subjects == [issuer.claims("carol")["sub"]]
        said = [value for field, value in request.fields if field == "X-AUTHZ-NAME"]
        assert all(value.isascii() and "," not in value and " " not in value for value in said)
