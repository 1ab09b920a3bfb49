"""A service answers and closes without reading the body: its answer is relayed all the same."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from authz_sidecar.config.addresses import UpstreamAddress
from lab import DEADLINE
from lab.wire import Client, Rig, running
from lab.wire.certificates import self_signed

SIZE = 5_000_000
UPLOADS = 6
HEAD = b"POST /open/1 HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n"
FRAMED = {
    "with a length": (b"Content-Length: %d" % SIZE, b"", b""),
    "chunked": (b"Transfer-Encoding: chunked", b"%x\r\n" % SIZE, b"\r\n0\r\n\r\n"),
}
BODY = b"<h1>CSRF verification failed.</h1>" * 20
ANSWERS = {
    "length": b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
    % (len(BODY), BODY),
    "chunked": b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    % (len(BODY), BODY),
}


@contextmanager
def refusing(
    listener: socket.socket, answer: bytes, first: int, tls: ssl.SSLContext | None = None
) -> Iterator[None]:
    """A service that reads `first` bytes of each request at most, answers, and closes: the kernel resets."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                if tls is not None:  # else the answer waits for an acknowledgement, and is gone with the end
                    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with plain if tls is None else tls.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(first)
                    connection.sendall(answer)

    thread = threading.Thread(target=serve)
    with listener:
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE)


def listening(path: Path | None, scheme: str = "http") -> tuple[socket.socket, UpstreamAddress]:
    if path is None:
        listener = socket.create_server(("127.0.0.1", 0))
        return listener, UpstreamAddress.parse(f"{scheme}://localhost:{listener.getsockname()[1]}")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener, UpstreamAddress.parse(f"unix:{path}")


async def uploaded(rig: Rig, framed: tuple[bytes, bytes, bytes]) -> bytes:
    """All that a client gets that sends its whole body whatever it hears."""
    field, before, after = framed
    async with await Client.connect(rig.port) as client:
        sending = asyncio.create_task(client.send(HEAD % field + before + b"x" * SIZE + after))
        answer = await client.until(lambda received: received.endswith((BODY, b"\r\n0\r\n\r\n", b"}\n")))
        sending.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await sending
        return answer


@pytest.mark.parametrize("framed", FRAMED.values(), ids=FRAMED.keys())
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("over", ["tcp", "unix"])
async def test_the_answer_that_lies_in_the_socket_is_relayed(
    tmp_path: Path, framed: tuple[bytes, bytes, bytes], answer: bytes, over: str
) -> None:
    listener, address = listening(tmp_path / "refusing.sock" if over == "unix" else None)
    with refusing(listener, answer, 65536):
        async with running() as rig:
            rig.shared.pool.address = address
            answers = [await uploaded(rig, framed) for _ in range(UPLOADS)]
    assert [each[9:12] for each in answers] == [b"403"] * UPLOADS
    assert all(BODY in each for each in answers)


@pytest.mark.parametrize("framed", FRAMED.values(), ids=FRAMED.keys())
async def test_so_is_one_that_tls_has_yet_to_decipher(
    tmp_path: Path, framed: tuple[bytes, bytes, bytes]
) -> None:
    path = tmp_path / "upstream.pem"
    path.write_bytes(b"".join(self_signed()))
    service = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    service.load_cert_chain(path)
    listener, address = listening(None, "https")
    with refusing(listener, ANSWERS["length"], 16384, service):
        async with running(upstream_tls=(service, ssl.create_default_context(cafile=str(path)))) as rig:
            rig.shared.pool.address = address
            answers = [await uploaded(rig, framed) for _ in range(UPLOADS)]
    assert [each[9:12] for each in answers] == [b"403"] * UPLOADS
    assert all(BODY in each for each in answers)
