"""What a client asks reaches the service alike: directly, through the engine and through the oracle."""

from __future__ import annotations

import gzip
from collections.abc import Container
from dataclasses import replace

import pytest

from lab.oracle.differences import OF_ONE_HOP, told, told_by_oracle
from lab.oracle.ways import Ways, head
from lab.wire.messages import Fields, Request

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ZIPPED = gzip.compress(bytes(1000), mtime=0)
ALICE = b"Authorization: Bearer alice"
TE = b"Transfer-Encoding: chunked"

NOT_SENT_ON = {
    **OF_ONE_HOP,
    b"x-hop": "Connection names it",
    b"proxy-authorization": "it is about one connection",
    b"x_y": "WSGI reads _ as -",
    b"x-authz-user": "only the sidecar may say who it is",
    b"x-request-id": "ours takes its place",
    b"x-forwarded-for": "ours takes its place",
    b"x-forwarded-proto": "ours takes its place",
    b"x-forwarded-host": "ours takes its place",
    b"forwarded": "nobody knows whether it is true",
    b"x-real-ip": "nobody knows whether it is true",
}
ADDED = (
    (b"X-Forwarded-Proto", b"http"),
    (b"X-Forwarded-Host", b"s.example:81"),
    (b"X-Forwarded-For", b"127.0.0.1"),
    (b"X-Request-Id", b"r1"),
)

REQUESTS = {
    "GET": (head("GET /"), b""),
    "HEAD": (head("HEAD /"), b""),
    "OPTIONS": (head("OPTIONS /"), b""),
    "POST": (head("POST /open/x", b"Content-Length: 3"), b"abc"),
    "PUT": (head("PUT /students/1/", ALICE, b"Content-Length: 3"), b"abc"),
    "PATCH": (head("PATCH /students/1/", ALICE, b"Content-Length: 3"), b"abc"),
    "DELETE": (head("DELETE /students/1/", ALICE), b""),
    "DELETE with a body": (head("DELETE /students/1/", ALICE, b"Content-Length: 3"), b"abc"),
    "GET with a body": (head("GET /", b"Content-Length: 3"), b"abc"),
    "GET with chunks": (head("GET /", TE), b"3\r\nabc\r\n0\r\n\r\n"),
    "no body": (head("POST /open/x"), b""),
    "empty body": (head("POST /open/x", b"Content-Length: 0"), b""),
    "every byte": (head("POST /open/x", b"Content-Length: 256"), bytes(range(256))),
    "large body": (head("POST /open/x", b"Content-Length: 3000000"), b"0123456789" * 300_000),
    "chunks": (head("POST /open/x", TE), b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
    "chunks, none": (head("POST /open/x", TE), b"0\r\n\r\n"),
    "chunks, large": (head("POST /open/x", TE), (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 45 + b"0\r\n\r\n"),
    "chunk extensions": (head("POST /open/x", TE), b"3;a=b\r\nabc\r\n0;c\r\n\r\n"),
    "trailers": (head("POST /open/x", b"Trailer: X-Sum", TE), b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"),
    "expects 100": (head("POST /open/x", b"Expect: 100-continue", b"Content-Length: 3"), b"abc"),
    "expects 100, chunks": (head("POST /open/x", b"Expect: 100-continue", TE), b"3\r\nabc\r\n0\r\n\r\n"),
    "gzip": (head("POST /open/x", b"Content-Encoding: gzip", b"Content-Length: %d" % len(ZIPPED)), ZIPPED),
    "cookies": (head("GET /", b'Cookie: a=1; b="2"'), b""),
    "two cookie fields": (head("GET /", b"Cookie: a=1", b"Cookie: b=2"), b""),
    "duplicates, in any case": (head("GET /", b"X-b: 1", b"ACCEPT: a", b"x-B: 2", b"accept: b"), b""),
    "empty and padded values": (head("GET /", b"X-Empty:", b"X-Padded: \t a b\t "), b""),
    "odd names": (head("GET /", b"x.z: 1", b"!#$%&'*+-^`|~0: 2"), b""),
    "values in UTF-8": (head("GET /", b"X-Name: \xc3\xa9"), b""),
    "values in Latin-1": (head("GET /", b"X-Name: \xe9\xff"), b""),
    "conditions and ranges": (head("GET /", b'If-None-Match: "x", W/"y"', b"Range: bytes=0-3,5-"), b""),
    "what clients add": (head("GET /", b"Accept: */*", b"Accept-Encoding: br", b"User-Agent: x"), b""),
    "many fields": (head("GET /", *(b"X-%d: y" % number for number in range(200))), b""),
    "a large field": (head("GET /", b"X: " + b"y" * 60_000), b""),
    "a long target": (head("GET /" + "a" * 16_000), b""),
    "what is about one connection": (
        head("GET /", b"Connection: X-Hop", b"X-Hop: 1", b"Keep-Alive: 5", b"Proxy-Authorization: x"),
        b"",
    ),
    "what may not be said": (
        head("GET /", b"X_Y: 1", b"X-Authz-User: 1", b"X-Real-IP: 1", b"Forwarded: for=1"),
        b"",
    ),
    "who forwards": (
        head("GET /", b"X-Forwarded-For: 1", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: y"),
        b"",
    ),
    "HTTP/1.0": (head("GET /").replace(b"HTTP/1.1", b"HTTP/1.0"), b""),
    **{
        f"OPTIONS {target}": (head(f"OPTIONS {target}"), b"")
        for target in (
            *(
                "*",
                "/?",
                "/a?b?c=d&&=&e",
                "/?a=[1]&b=%00%zz",
                "/?x=http://y/z",
                "/%0A%7e%2F~",
                "/%zz%ff%C0%AF",
            ),
            *("//a/../b;c//", "/./%2e/", "/*", "/a'()|{}\"<>\\^`", "/a:b@c,d!$&+="),
        )
    },
}

THE_ORACLE_ASKS_OTHERWISE = {
    "DELETE": "aiohttp's client gives it a length of 0",
    "no body": "aiohttp's client gives it a length of 0",
    "trailers": "aiohttp's server drops them",
    "duplicates, in any case": "aiohttp's client sends one spelling of a name",
    "values in Latin-1": "aiohttp's client writes heads in UTF-8",
    "OPTIONS *": "to aiohttp's client this is no URL",
    "OPTIONS /?": "aiohttp's client drops an empty query",
}


@pytest.mark.parametrize(
    ("name", "head", "body"), [(name, *sent) for name, sent in REQUESTS.items()], ids=REQUESTS.keys()
)
async def test_what_the_service_is_asked(ways: Ways, name: str, head: bytes, body: bytes) -> None:
    directly, engine, oracle = await ways.send(head, body, EMPTY)
    wanted = replace(directly.heard, fields=(*without(NOT_SENT_ON, directly.heard), *ADDED))
    assert (end_to_end(engine.heard), told(engine.told)) == (wanted, told(directly.told))
    by_oracle = (end_to_end(oracle.heard), told_by_oracle(oracle.told, directly.told))
    assert (by_oracle == (wanted, told(directly.told))) is (name not in THE_ORACLE_ASKS_OTHERWISE)


def end_to_end(request: Request) -> Request:
    return replace(request, fields=without(OF_ONE_HOP, request))


def without(names: Container[bytes], request: Request) -> Fields:
    return tuple((name, value) for name, value in request.fields if name.lower() not in names)
