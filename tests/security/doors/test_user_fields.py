"""Issuers that name users by different fields: what one's subject says is never another's."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab.stack.client import People
from lab.stack.system import Stack
from lab.wire.front import Front, statuses
from tests.security.doors.conftest import MAIL_ISSUER, OTHER_ISSUER

VIEW = "students.view_student"
ADDRESS = "mail@example.org"
Token = Callable[..., bytes]


@pytest.fixture
def token(opened: Any, issuer: Any) -> Token:
    """Of the issuer of addresses, with these changes; `None` leaves a claim out."""

    def signed(email: object, *, key: Any = None, **changes: object) -> bytes:
        now = int(time.time())
        said = {
            "iss": MAIL_ISSUER,
            "aud": "student-api",
            "sub": "f00",
            "email": email,
            "email_verified": True,
        }
        said |= {"iat": now, "exp": now + 300, **changes}
        claims = {name: value for name, value in said.items() if value is not None}
        header = {"typ": "JWT", "alg": "RS256", "kid": issuer.header["kid"]}
        made: str = issuer.sign(header, claims, key=key or opened.private)
        return made.encode()

    return signed


@pytest.fixture(scope="module")
def addressed(people: People) -> int:
    """The primary key of who has the address, and may look."""
    pk = people.new_user(ADDRESS)
    people.grant(pk, VIEW).demand("granting", 200)
    return pk


async def ask(front: Front, token: bytes, line: bytes = b"GET /students/3/") -> tuple[int, bytes]:
    answer = await front.ask(
        b"%b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n" % (line, token)
    )
    (status,) = statuses(answer)
    return status, answer


async def eventually(front: Front, token: bytes, wanted: int) -> bytes:
    while (found := await ask(front, token))[0] != wanted:
        pass
    return found[1]


async def test_who_is_named_by_an_address_is_told_as_the_token_says(
    front: Front, token: Token, addressed: int
) -> None:
    await eventually(front, token(ADDRESS), 200)
    assert (await ask(front, token(ADDRESS), b"PUT /own/%b/" % ADDRESS.encode()))[0] == 404  # the service's
    assert (await ask(front, token(ADDRESS), b"PUT /own/%d/" % addressed))[0] == 403
    told = {dict(request.fields)["X-AUTHZ-SUBJECT"] for request in await front.arrived()}
    assert told == {ADDRESS}


async def test_what_one_issuer_says_names_nobody_of_another_s(
    front: Front, token: Token, addressed: int, people: People
) -> None:
    carol = people.id_of("carol")
    people.new_user(str(carol))  # by name who carol is by key, and may nothing
    await eventually(front, token(str(carol)), 403)
    theirs = {"iss": OTHER_ISSUER}
    refused = {
        "the address as a key": token(None, **theirs, uid=ADDRESS),
        "the log's own spelling as a key": token(None, **theirs, uid=f"username\x1f{ADDRESS}"),
        "the same as an address": token(f"pk\x1f{carol}"),
        "a colon for it": token(None, **theirs, uid=f"username:{ADDRESS}"),
        "a key as an address": token(str(addressed)),
        "other letters": token(ADDRESS.upper()),
        "a name that is no address's": token("nobody@example.org"),
        "no address": token(None, uid=str(carol)),
        "a list": token([ADDRESS]),
        "not verified": token(ADDRESS, email_verified=False),
        "nothing said of that": token(ADDRESS, email_verified=None),
        "said in text": token(ADDRESS, email_verified="true"),
        "said in a number": token(ADDRESS, email_verified=1),
    }
    for name, each in refused.items():
        assert (await ask(front, each))[0] == 401, name
    await front.nothing_arrived()


async def test_the_same_kid_is_another_key(front: Front, token: Token, issuer: Any) -> None:
    for forged in (token(ADDRESS, key=issuer.private), token(ADDRESS, iss=issuer.claims("carol")["iss"])):
        status, answer = await ask(front, forged)
        assert (status, b'"token_invalid"' in answer) == (401, True)
    await front.nothing_arrived()


async def test_an_address_that_changes_hands_takes_nothing_with_it(
    front: Front, token: Token, system: Stack, people: People
) -> None:
    """In both directions: not what was issued to the first, nor what the first held."""
    old, new, other = "first@example.org", "second@example.org", "first.b@example.org"
    first, second = people.new_user(old), people.new_user(new)
    people.grant(first, VIEW).demand("granting", 200)
    before = token(old)
    await eventually(front, before, 200)
    path = system.user_service.env["DATABASE_URL"].removeprefix("sqlite:///")
    with sqlite3.connect(path, timeout=30) as database:
        for name, pk in ((other, first), (old, second)):
            database.execute("UPDATE accounts_user SET username = ? WHERE id = ?", (name, pk))
    await eventually(front, before, 401)
    await eventually(front, token(other), 200)
    arrived = len(await front.arrived())
    for each in (before, token(new), token(old, iat=int(time.time()) - 1)):
        assert (await ask(front, each))[0] == 401
    assert len(await front.arrived()) == arrived
