"""An endpoint of signing keys that answers, but not with keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Thread
from typing import ClassVar

from lab.campaign.system import System

SICK: dict[str, tuple[int, bytes]] = {
    "500": (500, b"{}"),
    "404": (404, b""),
    "a page": (200, b"<html>Signing keys are on holiday</html>"),
    "no object": (200, b"[]"),
    "cut off": (200, b'{"keys":[{"kty":"RSA","kid":"'),
    "a redirection": (302, b""),
}


@contextmanager
def sick(system: System, random: Random) -> Iterator[str]:
    """Every sidecar is answered something else than its keys."""
    illness = random.choice(list(SICK))
    links = [name for name in system.network.links if name.endswith("→ keys")]
    with _server(*SICK[illness]) as port:
        for name in links:
            system.network.redirect(name, port)
        yield illness
        for name in links:
            system.network.redirect(name, system.user_service.port)


@contextmanager
def _server(status: int, body: bytes) -> Iterator[int]:
    """Answers everything so; its port."""

    class Handler(_Sick):
        answer = status, body

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, name="sick keys")
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class _Sick(BaseHTTPRequestHandler):
    answer: ClassVar[tuple[int, bytes]]

    def do_GET(self) -> None:
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""
