"""Two issuers with a key of the same name: what is of one is worth nothing at the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from lab.wire.front import Front, statuses

Claims = dict[str, Any]
OTHER = "https://id.example/realms/school"


@pytest.fixture
def theirs(opened: Any, issuer: Any) -> Callable[[Claims], Claims]:
    """What the second issuer says of carol, with these changes; `None` leaves a claim out."""

    def claims(changes: Claims) -> Claims:
        now, uid = int(time.time()), issuer.claims("carol")["sub"]
        said = {
            "iss": OTHER,
            "aud": "student-api",
            "uid": uid,
            "sub": "9a0c7f0e",
            "iat": now,
            "exp": now + 300,
        }
        return {name: value for name, value in (said | changes).items() if value is not None}

    return claims


READ = b"GET /students/3/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n"


async def test_each_is_good_by_itself(
    front: Front, opened: Any, issuer: Any, theirs: Callable[[Claims], Claims]
) -> None:
    header = {"typ": "JWT", "alg": "RS256", "kid": issuer.header["kid"]}
    assert statuses(await front.ask(READ.replace(b"%b", b"<carol>"))) == [200]
    token = issuer.sign(header, theirs({}), key=opened.private)
    assert statuses(await front.ask(READ % token.encode())) == [200]
    told = [dict(request.fields)["X-AUTHZ-SUBJECT"] for request in await front.arrived()]
    assert told == [issuer.claims("carol")["sub"]] * 2


async def test_nothing_of_one_counts_at_the_other(
    front: Front, opened: Any, issuer: Any, theirs: Callable[[Claims], Claims]
) -> None:
    """Keys, audiences, types, algorithms and claims, exchanged; each token is for who may delete."""
    admin = issuer.claims("admin")
    ours, uid = dict(issuer.header), {"uid": admin["sub"]}
    other = {"typ": "JWT", "alg": "RS256", "kid": issuer.header["kid"]}
    attacks: Mapping[str, tuple[Claims, Claims, Any]] = {
        "our user, their key": (ours, admin, opened.private),
        "their user, our key": (other, theirs(uid), issuer.private),
        "their issuer, our key and our form": (ours, admin | {"iss": OTHER}, issuer.private),
        "our issuer, their key and their form": (other, theirs(uid | {"iss": admin["iss"]}), opened.private),
        "our audience at theirs": (other, theirs(uid | {"aud": "student-service"}), opened.private),
        "their audience at ours": (ours, admin | {"aud": "student-api"}, issuer.private),
        "our type at theirs": (other | {"typ": "at+jwt"}, theirs(uid), opened.private),
        "their type at ours": (ours | {"typ": "JWT"}, admin, issuer.private),
        "our claim at theirs": (other, theirs({"uid": None, "sub": admin["sub"]}), opened.private),
        "a number for a claim": (other, theirs({"uid": int(admin["sub"])}), opened.private),
        "a list for a claim": (other, theirs({"uid": [admin["sub"]]}), opened.private),
        "two issuers": (other, theirs(uid | {"iss": [OTHER, admin["iss"]]}), opened.private),
        "no issuer": (other, theirs(uid | {"iss": None}), opened.private),
        "an issuer with a slash": (other, theirs(uid | {"iss": OTHER + "/"}), opened.private),
        "an issuer in other letters": (other, theirs(uid | {"iss": OTHER.upper()}), opened.private),
        "an issuer nobody knows": (other, theirs(uid | {"iss": "https://evil.example"}), opened.private),
        "a subject of ours without its generation": (
            ours,
            {name: value for name, value in admin.items() if name != "authz_gen"},
            issuer.private,
        ),
        "no kid": ({"typ": "JWT", "alg": "RS256"}, theirs(uid), issuer.private),
    }
    for name, (header, claims, key) in attacks.items():
        await _refused(front, name, issuer.sign(header, claims, key=key))
    secret = issuer.sign(other | {"alg": "HS256"}, theirs(uid), "HS256", b"x" * 32)
    await _refused(front, "a shared secret", secret)
    await front.nothing_arrived()


async def _refused(front: Front, name: str, token: str) -> None:
    request = b"DELETE /students/1/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n"
    answer = await front.ask(request % token.encode())
    assert (statuses(answer), b'"token_invalid"' in answer) == ([401], True), (name, answer)


async def test_the_same_token_is_judged_by_one_only_however_often(
    front: Front, opened: Any, issuer: Any, theirs: Callable[[Claims], Claims]
) -> None:
    """What is remembered of verified tokens is each issuer's own."""
    other = {"typ": "JWT", "alg": "RS256", "kid": issuer.header["kid"]}
    good = issuer.sign(other, theirs({}), key=opened.private)
    signed, _, signature = good.rpartition(".")
    forged = issuer.sign(other, theirs({"iss": issuer.claims("carol")["iss"]}), key=opened.private)
    for _ in range(3):
        assert statuses(await front.ask(READ % good.encode())) == [200]
        assert statuses(await front.ask(READ % forged.encode())) == [401]
        assert statuses(await front.ask(READ % f"{forged.rpartition('.')[0]}.{signature}".encode())) == [401]
        assert statuses(await front.ask(READ % f"{signed}.{forged.rpartition('.')[2]}".encode())) == [401]
