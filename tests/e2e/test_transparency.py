"""With the sidecar taken away, the Student service answers reads with the same bytes."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from stack.client import People, call
from stack.system import Stack

PHOTO = bytes(range(256)) * 4096

HEADERS = "Host: localhost\r\nAccept: text/html;q=0.8, application/json\r\nConnection: close\r\n"
READS = [
    "GET /students/ HTTP/1.1",
    "GET /students/?search=a&page=1&status=applicant HTTP/1.1",
    "GET /students/?page=2000 HTTP/1.1",
    "GET /students/1/ HTTP/1.1",
    "HEAD /students/1/ HTTP/1.1",
    "OPTIONS /students/ HTTP/1.1",
    "GET /students/999999/ HTTP/1.1",
    "GET /students HTTP/1.1",
    "GET /students/1/photo/ HTTP/1.1",
    "GET /nothing/here?a=%20b&c HTTP/1.1",
    "GET /students/?search=%C3%A9 HTTP/1.1",
    "GET /students/?format=json HTTP/1.1",
]


@pytest.fixture(scope="module")
def with_photo(system: Stack, people: People) -> Stack:
    token = people.token("bob")
    url = f"{system.sidecar.url}/students/1/photo/"
    boundary = "b0undary"
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n'.encode()
    body = part + PHOTO + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert call(url, "PUT", token=token, data=body, **headers).status == 200
    return system


def exchange(url: str, request: str) -> tuple[list[bytes], bytes]:
    """The answer's head, line by line in order, without what may differ; and its body."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
        connection.sendall(f"{request}\r\n{HEADERS}\r\n".encode())
        received = b""
        while data := connection.recv(65536):
            received += data
    lines, _, body = received.partition(b"\r\n\r\n")
    may_differ = (b"date:", b"connection:", b"transfer-encoding:")  # the latter two are of one hop
    return [line for line in lines.split(b"\r\n") if not line.lower().startswith(may_differ)], body


@pytest.mark.parametrize("request_line", READS)
def test_a_read_is_answered_alike_with_and_without(with_photo: Stack, request_line: str) -> None:
    direct = exchange(with_photo.student_service.url, request_line)
    proxied = exchange(with_photo.sidecar.url, request_line)
    assert proxied == direct
    assert direct[0]


def test_what_was_uploaded_comes_back_whole(with_photo: Stack) -> None:
    assert call(f"{with_photo.sidecar.url}/students/1/photo/").body == PHOTO
