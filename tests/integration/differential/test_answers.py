"""What a service answers reaches the client alike: directly, through the engine and through the oracle.

What may differ stands in lab/oracle/differences.py and in the table here that says what the oracle, by its
nature, cannot do: there the engine is compared with the direct way alone.
"""

from __future__ import annotations

import gzip

import pytest

from lab.oracle.differences import told, told_by_oracle
from lab.oracle.ways import Ways, head

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH_0 = b"Content-Length: 0\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
ZIPPED = gzip.compress(bytes(1000), mtime=0)

ANSWERS = {
    "no type": OK + b"Content-Length: 1\r\n\r\n<",
    "a type": OK + b"Content-Type: text/html\r\nContent-Length: 1\r\n\r\n<",
    "empty": OK + LENGTH_0,
    "large": OK + b"Content-Length: 3000000\r\n\r\n" + b"0123456789" * 300_000,
    "large, in chunks": OK + CHUNKED + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 45 + b"0\r\n\r\n",
    "every byte": OK + b"Content-Length: 256\r\n\r\n" + bytes(range(256)),
    "ended by the connection": OK + b"X: y\r\n\r\nabc",
    "ended by the connection, empty": OK + b"X: y\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nabc",
    "HTTP/1.0 with a length": b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "chunks": OK + CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "chunks, none": OK + CHUNKED + b"0\r\n\r\n",
    "chunk extensions": OK + CHUNKED + b"3;a=b\r\nabc\r\n0;c\r\n\r\n",
    "trailers": OK + b"Trailer: X-Sum\r\n" + CHUNKED + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n",
    "100": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + LENGTH_0,
    "102 and 103": b"HTTP/1.1 102 Processing\r\n\r\n"
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nlink: </b>\r\n\r\n" + OK + LENGTH_0,
    "204": b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    "205": b"HTTP/1.1 205 Reset Content\r\n" + LENGTH_0,
    "206": b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-2/9\r\nContent-Length: 3\r\n\r\nabc",
    "304": b'HTTP/1.1 304 Not Modified\r\nETag: W/"x"\r\n\r\n',
    "304 with a length": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 5\r\n\r\n',
    "302": b"HTTP/1.1 302 Found\r\nLocation: http://internal/x?%C3%A9#y\r\n" + LENGTH_0,
    "401 of the service": b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nwww-authenticate: X\r\n" + LENGTH_0,
    "416": b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */9\r\n" + LENGTH_0,
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops",
    "503": b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 9\r\n" + LENGTH_0,
    "status 799": b"HTTP/1.1 799 Custom\r\n" + LENGTH_0,
    "an odd reason": b"HTTP/1.1 200 Everything - is\tFine!\r\n" + LENGTH_0,
    "a reason in UTF-8": b"HTTP/1.1 200 F\xc3\xafne\r\n" + LENGTH_0,
    "a reason in Latin-1": b"HTTP/1.1 200 F\xefne\r\n" + LENGTH_0,
    "an empty reason": b"HTTP/1.1 404 \r\n" + LENGTH_0,
    "cookies": OK + b"Set-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\nSet-Cookie: a=3\r\n" + LENGTH_0,
    "duplicates, in any case": OK + b"X-a: 1\r\nVary: b\r\nx-A: 2\r\nvary: c\r\ncontent-LENGTH: 0\r\n\r\n",
    "empty and padded values": OK + b"X-Empty:\r\nX-Padded: \t a b\t \r\n" + LENGTH_0,
    "odd names": OK + b"X_y: 1\r\nx.z: 2\r\n!#$%&'*+-.^_`|~0: 3\r\n" + LENGTH_0,
    "values in UTF-8": OK + b"X-Name: \xc3\xa9\r\n" + LENGTH_0,
    "values in Latin-1": OK + b"X-Name: \xe9\xff\r\n" + LENGTH_0,
    "gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED,
    "gzip, in chunks": OK
    + b"Content-Encoding: gzip\r\n"
    + CHUNKED
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(ZIPPED), ZIPPED),
    "not what its encoding says": OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
    "64 KiB in one field": OK + b"X: " + b"y" * 65_000 + b"\r\n" + LENGTH_0,
    "64 KiB in many fields": OK + b"X-Field: %b\r\n" % (b"y" * 250) * 245 + LENGTH_0,
    "the service's Server and Date": OK
    + b"Server: x\r\nDate: y\r\nX-Request-Id: z\r\nVia: 1.1 w\r\n"
    + LENGTH_0,
}
ANSWERS_TO_HEAD = {
    "length": OK + b"Content-Type: a/b\r\nContent-Length: 1000\r\n\r\n",
    "no length": OK + b"X: y\r\n\r\n",
    "chunks": OK + CHUNKED,
    "404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
}
CASES = [("GET", *case) for case in ANSWERS.items()] + [("HEAD", *case) for case in ANSWERS_TO_HEAD.items()]

THE_ORACLE_TELLS_LESS = {
    "trailers": "aiohttp drops them",
    "100": "aiohttp drops 1xx",
    "102 and 103": "aiohttp drops 1xx",
    "304 with a length": "aiohttp sends no length where no body is",
    "a reason in Latin-1": "aiohttp writes heads in UTF-8",
    "values in Latin-1": "aiohttp writes heads in UTF-8",
}


@pytest.mark.parametrize(
    ("method", "name", "answer"), CASES, ids=[f"{method} {name}" for method, name, _ in CASES]
)
async def test_what_the_service_answers(ways: Ways, method: str, name: str, answer: bytes) -> None:
    directly, engine, oracle = await ways.send(head(f"{method} /"), b"", answer)
    assert told(engine.told) == told(directly.told)
    alike = told_by_oracle(oracle.told, directly.told) == told(directly.told)
    assert alike is (name not in THE_ORACLE_TELLS_LESS)
