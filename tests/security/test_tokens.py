"""Access tokens with anything wrong in them, most of them signed with the very key that is trusted."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt as second_library
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from jwt.algorithms import RSAAlgorithm

from lab.stack.system import Stack
from lab.wire.front import Front, statuses

DELETE = b"DELETE /students/1/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n"
CHANGE = DELETE.replace(b"DELETE", b"PATCH").replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n")
JWKS = ("GET", "/.well-known/jwks.json")
ABSENT = object()
LATER = 4_102_444_800
"""In the year 2100. These tables are read long before their tests run, so they hold no time of today."""


def altered(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (values | changes).items() if value is not ABSENT}


async def refused(front: Front, token: bytes, code: bytes = b"token_invalid") -> None:
    answer = await front.ask(DELETE % token)
    assert statuses(answer) == [401]
    assert b'"%b"' % code in answer
    await front.nothing_arrived()


HEADERS: dict[str, dict[str, Any]] = {
    # "none" has been accepted in every spelling
    "alg none": {"alg": "none"},
    "alg None": {"alg": "None"},
    "alg NONE": {"alg": "NONE"},
    "alg nOnE": {"alg": "nOnE"},
    "alg none with a space": {"alg": "none "},
    "alg empty": {"alg": ""},
    "alg null": {"alg": None},
    "alg missing": {"alg": ABSENT},
    "alg list": {"alg": ["RS256"]},
    "alg number": {"alg": 256},
    "alg in lower case": {"alg": "rs256"},
    "alg of the same family": {"alg": "RS512"},
    "alg of another family": {"alg": "ES256"},
    "alg of shared secrets": {"alg": "HS256"},
    # GHSA-752w-5fwx-jx9f: what is critical and not understood
    "crit unknown": {"crit": ["x"], "x": 1},
    "crit of a known name": {"crit": ["exp"]},
    "crit empty": {"crit": []},
    "crit null": {"crit": None},
    "payload not encoded": {"crit": ["b64"], "b64": False},
    "typ missing": {"typ": ABSENT},
    "typ of another kind": {"typ": "JWT"},
    "typ of a refresh token": {"typ": "rt+jwt"},
    "typ list": {"typ": ["at+jwt"]},
    "kid null": {"kid": None},
    "kid number": {"kid": 0},
    "kid list": {"kid": []},
    "kid empty": {"kid": ""},
    "kid path": {"kid": "../../../../dev/null"},
    "kid query": {"kid": "x' UNION SELECT 'x"},
    "kid URL": {"kid": "http://127.0.0.1/"},
    "kid NUL": {"kid": "\0"},
    "kid command": {"kid": "|id"},
    "kid surrogate": {"kid": "\ud800"},
    "kid long": {"kid": "x" * 8000},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
async def test_a_hostile_header(front: Front, issuer: Any, header: dict[str, Any]) -> None:
    token = issuer.sign(altered(issuer.header, header), issuer.claims("admin"))
    await refused(front, token.encode())
    await refused(front, token.rpartition(".")[0].encode() + b".")


CLAIMS: dict[str, dict[str, Any]] = {
    # GHSA-75c5-xw7c-p5pm: the issuer compared as a list or by its beginning
    "iss missing": {"iss": ABSENT},
    "iss null": {"iss": None},
    "iss of another": {"iss": "http://x"},
    "iss longer": {"iss": "http://127.0.0.1:1/x"},
    "iss list": {"iss": ["http://x"]},
    "iss object": {"iss": {"http://x": 1}},
    "aud missing": {"aud": ABSENT},
    "aud null": {"aud": None},
    "aud empty": {"aud": ""},
    "aud of another service": {"aud": "user-service"},
    "aud shorter": {"aud": "student"},
    "aud in another case": {"aud": "Student-Service"},
    "aud empty list": {"aud": []},
    "aud list of others": {"aud": ["user-service", "x"]},
    "aud list in a list": {"aud": [["student-service"]]},
    "aud object": {"aud": {"student-service": 1}},
    "aud with a number": {"aud": ["student-service", 1]},
    "exp missing": {"exp": ABSENT},
    "exp null": {"exp": None},
    "exp negative": {"exp": -1},
    "exp huge": {"exp": 10**400},
    "exp beyond all calendars": {"exp": 1e300},
    "exp text": {"exp": str(LATER)},
    "exp NaN": {"exp": float("nan")},
    "exp infinite": {"exp": float("inf")},
    "exp true": {"exp": True},
    "exp list": {"exp": [LATER]},
    "nbf to come": {"nbf": LATER},
    "nbf text": {"nbf": "0"},
    "iat to come": {"iat": LATER},
    "sub missing": {"sub": ABSENT},
    "sub null": {"sub": None},
    "sub number": {"sub": 1},
    "sub empty": {"sub": ""},
    "sub list": {"sub": ["1"]},
    "sub with NUL": {"sub": "1\0"},
    "sub with a line feed": {"sub": "1\n"},
    "sub surrogate": {"sub": "\ud800"},
    "sub long": {"sub": "1" * 256},
    "generation missing": {"authz_gen": ABSENT},
    "generation text": {"authz_gen": "0"},
    "generation negative": {"authz_gen": -1},
    "generation true": {"authz_gen": True},
    "revision number": {"authz_rev": 1},
    "revision nonsense": {"authz_rev": "x"},
}


@pytest.mark.parametrize("claims", CLAIMS.values(), ids=CLAIMS.keys())
async def test_hostile_claims(front: Front, issuer: Any, claims: dict[str, Any]) -> None:
    token = issuer.sign(issuer.header, altered(issuer.claims("admin"), claims))
    await refused(front, token.encode())


async def test_claims_of_another_time(front: Front, issuer: Any) -> None:
    for exp in (0, 0.5, time.time() - 60):
        token = issuer.sign(issuer.header, issuer.claims("admin") | {"exp": exp})
        await refused(front, token.encode(), b"token_expired")
    claims = issuer.claims("admin")
    token = issuer.sign(issuer.header, claims | {"authz_gen": claims["authz_gen"] + 1})
    await refused(front, token.encode(), b"token_revoked")


# JSON that two parsers read differently, in the header and in the claims.
JSON: dict[str, Callable[[str], str | bytes]] = {
    "a name twice": lambda text: '{"alg":"none","sub":"2",' + text[1:],
    "a name twice, the other way": lambda text: text[:-1] + ',"alg":"none","sub":"2"}',
    "a name twice, once escaped": lambda text: text[:-1] + ',"\\u0061lg":"none","\\u0073ub":"2"}',
    "a name twice inside": lambda text: text[:-1] + ',"x":{"a":1,"a":2}}',
    "another encoding": lambda text: text.encode("utf-16"),
    "a byte order mark": lambda text: "\ufeff" + text,
    "bytes that are no text": lambda text: (
        text.encode().replace(b"RS256", b"\xff").replace(b"student", b"\xff")
    ),
    "two values": lambda text: text + text,
    "a comma too many": lambda text: text[:-1] + ",}",
    "a comment": lambda text: "/**/" + text,
    "single quotes": lambda text: text.replace('"', "'"),
    "a list": lambda text: f"[{text}]",
    "a text": json.dumps,
    "nothing": lambda text: "",
    "null": lambda text: "null",
    "a number without end": lambda text: text[:-1] + ',"x":' + "9" * 5000 + "}",
    "depth without end": lambda text: text[:-1] + ',"x":' + "[" * 5000 + "]" * 5000 + "}",
    "no number": lambda text: text[:-1] + ',"x":NaN}',
}


@pytest.mark.parametrize("mangle", JSON.values(), ids=JSON.keys())
async def test_json_that_is_read_in_two_ways(front: Front, issuer: Any, mangle: Callable[[str], str]) -> None:
    header, claims = json.dumps(issuer.header), json.dumps(issuer.claims("admin"))
    await refused(front, issuer.sign(mangle(header), claims).encode())
    await refused(front, issuer.sign(header, mangle(claims)).encode())


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "not signed": lambda token: token.rpartition(b".")[0] + b".",
    "without a signature": lambda token: token.rpartition(b".")[0],
    "padded": lambda token: token + b"=",
    "with a fourth part": lambda token: token + b".",
    "encrypted": lambda token: token + b".x.x",
    "with a byte outside ASCII": lambda token: token + b"\xff",
    "with a letter outside ASCII": lambda token: "\u0435".encode() + token[1:],
    "with a NUL escaped": lambda token: token + b"%00",
    "in the other alphabet": lambda token: token[:40] + b"+/" + token[40:],
    "as JSON": lambda token: b'{"payload":"%b"}' % token,
    "too long": lambda token: token + b"A" * 2**15,
    "signed for other claims": lambda token: token.replace(b".e", b".f", 1),
    "cut off": lambda token: token[:-1],
}


@pytest.mark.parametrize("mangle", FORMS.values(), ids=FORMS.keys())
async def test_a_good_token_that_was_changed(front: Front, mangle: Callable[[bytes], bytes]) -> None:
    """After the good one was accepted: what is remembered of it is all of it."""
    token = front.tokens["admin"].encode()
    assert statuses(await front.ask(CHANGE % token)) == [200]
    answer = await front.ask(DELETE % mangle(token))
    assert statuses(answer) == [401]
    assert [request.method for request in await front.arrived()] == ["PATCH"]


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_public_key_is_no_shared_secret(
    front: Front, issuer: Any, form: PublicFormat, encoding: Encoding, algorithm: str
) -> None:
    """CVE-2022-29217"""
    secret = issuer.private.public_key().public_bytes(encoding, form)
    header = issuer.header | {"alg": algorithm}
    await refused(front, issuer.sign(header, issuer.claims("admin"), algorithm, secret).encode())


async def test_a_key_that_a_token_brings_itself(front: Front, issuer: Any) -> None:
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = RSAAlgorithm.to_jwk(own.public_key(), as_dict=True) | {"kid": "own"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for kid in (issuer.header["kid"], "own"):
            header = issuer.header | {"kid": kid, "jku": url, "x5u": url, "jwk": jwk, "x5c": ["x"]}
            await refused(front, issuer.sign(header, issuer.claims("admin"), key=own).encode())
        with pytest.raises(BlockingIOError):
            listener.accept()


ACCEPTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as it comes": ({}, {}),
    "a type in capitals": ({"typ": "AT+JWT"}, {}),
    "a type with its tree": ({"typ": "application/at+jwt"}, {}),
    "keys of its own that are not looked at": (
        {"jku": "http://x", "x5u": "http://x", "jwk": {"kty": "oct"}},
        {},
    ),
    "no name of its key, of which there is one": ({"kid": ABSENT}, {}),
    "several audiences": ({}, {"aud": ["x", "student-service"]}),
    "parts of seconds": ({}, {"exp": LATER + 0.5, "nbf": 0.5}),
    "unknown claims": ({}, {"scope": "x", "x": {"y": [None]}}),
}


@pytest.mark.parametrize(("header", "claims"), ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_what_is_accepted_a_second_library_accepts(
    front: Front, issuer: Any, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    said = issuer.claims("admin") | claims
    token = issuer.sign(altered(issuer.header, header), said)
    assert statuses(await front.ask(CHANGE % token.encode())) == [200]
    assert by_joserfc(issuer, token) == said


def by_joserfc(issuer: Any, token: str) -> dict[str, Any] | None:
    registry = second_library.JWTClaimsRegistry(
        now=int(time.time()),
        leeway=5,
        iss={"essential": True, "value": issuer.claims("admin")["iss"]},
        aud={"essential": True, "value": "student-service"},
        exp={"essential": True},
    )
    try:
        decoded = second_library.decode(token, RSAKey.import_key(issuer.private.public_key()), ["RS256"])
        registry.validate(decoded.claims)
    except (JoseError, ValueError):
        return None
    return decoded.claims


async def test_a_storm_of_unknown_keys(front: Front, issuer: Any, system: Stack) -> None:
    """Each is refused, the keys are asked for about once a second, and good tokens are accepted meanwhile."""
    asked = system.user_service.requests()[JWKS]
    started = time.monotonic()
    tokens = [
        issuer.sign(issuer.header | {"kid": f"unknown-{n}"}, issuer.claims("admin")) for n in range(200)
    ]
    storm = b"".join(DELETE % token.encode() for token in tokens)
    assert statuses(await front.ask(storm + CHANGE % b"<admin>" + storm)) == [401] * 200 + [200] + [401] * 200
    assert [request.method for request in await front.arrived()] == ["PATCH"]
    seconds = time.monotonic() - started
    assert system.user_service.requests()[JWKS] - asked <= seconds + 4
