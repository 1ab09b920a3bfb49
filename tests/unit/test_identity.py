"""What the service is told of who asks: one harmless line for each part, whatever the user is called."""

from __future__ import annotations

from math import inf
from urllib.parse import unquote

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.config.identity import PARTS, IdentitySettings
from authz_sidecar.core.entities import Position
from authz_sidecar.core.verdicts import Code, Decision, Identity, Verdict
from authz_sidecar.identity import IdentityHeaders

KEY = "k" * 32
NOW = 1_000_000.0
POSITION = Position("3f2a9c1b-0000-4000-8000-000000000000", 7, None)
SETTINGS = IdentitySettings(parts=PARTS, key=KEY)


def headers(settings: IdentitySettings = SETTINGS, now: float = NOW) -> IdentityHeaders:
    return IdentityHeaders(settings, "student-service", lambda: now)


def decision(
    subject: str | None = "7",
    name: str = "bob",
    code: Code = Code.GRANTED,
    position: Position | None = POSITION,
) -> Decision:
    identity = None if subject is None else Identity(subject, "k1", inf, None, None, None, name=name)
    return Decision("r", "GET", "/", Verdict(code, "", position), 0, identity=identity)


def test_what_is_told() -> None:
    told = dict(headers().for_service(decision()))
    token = told.pop(b"X-Authz-Identity")
    assert told == {
        b"X-Authz-Subject": b"7",
        b"X-Authz-Name": b"bob",
        b"X-Authz-Revision": b"3f2a9c1b.7",
    }
    claims = jwt.decode(
        token,
        KEY,
        algorithms=["HS256"],
        audience="student-service",
        issuer="authz-sidecar",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert (claims["sub"], claims["name"], claims["authz_rev"]) == ("7", "bob", "3f2a9c1b.7")
    assert 45 <= claims["exp"] - NOW <= 60
    assert claims["iat"] <= NOW
    assert jwt.get_unverified_header(token)["typ"] == "authz-identity+jwt"


def test_only_what_is_configured() -> None:
    subject = headers(IdentitySettings(parts=("subject",)))
    assert subject.for_service(decision()) == [(b"X-Authz-Subject", b"7")]
    assert subject.names == {b"x-authz-subject"}


NOBODY = {
    "no token": decision(None),
    "signed out": decision(code=Code.TOKEN_REVOKED),
    "deactivated": decision(code=Code.SUBJECT_INACTIVE),
    "unknown": decision(code=Code.SUBJECT_UNKNOWN),
    "not known now": decision(code=Code.STALE),
}


@pytest.mark.parametrize("decided", NOBODY.values(), ids=NOBODY.keys())
def test_nobody_is_told_to_a_gateway_in_so_many_headers(decided: Decision) -> None:
    """Also where shadow mode lets pass what would be refused."""
    assert headers().for_service(decided) == []
    told = headers().for_gateway(decided)
    assert [value for _, value in told] == [b"", b"", b"", b""]


def test_who_lacks_a_permission_is_somebody_all_the_same() -> None:
    assert dict(headers().for_service(decision(code=Code.PERMISSION_DENIED)))[b"X-Authz-Subject"] == b"7"


def test_what_is_not_known_of_somebody_is_left_out() -> None:
    told = headers().for_service(decision(name="", position=None))
    assert [name for name, _ in told] == [b"X-Authz-Subject", b"X-Authz-Identity"]
    assert len(headers().for_gateway(decision(name="", position=None))) == 4


@given(st.text(min_size=1))
def test_any_value_is_one_visible_word_and_is_found_again(value: str) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        return  # no token can have it
    (_, sent), *_ = headers().for_service(decision(value))
    assert sent.isascii()
    assert not set(sent) & set(b' ,;"\\\r\n\t\x00')
    assert unquote(sent.decode()) == value


def test_a_token_is_made_anew_before_it_ends() -> None:
    made = {dict(headers(now=NOW + at).for_service(decision()))[b"X-Authz-Identity"] for at in range(60)}
    assert len(made) == 5
