"""Links do to connections what their names say."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from lab import DEADLINE
from lab.campaign.link import DIRECTIONS, Network
from lab.stack.process import wait_for


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=_serve, args=[server], daemon=True).start()
        yield server.getsockname()[1]


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # the test is over
            return
        Thread(target=_echo, args=[connection], daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(1024):
                connection.sendall(data)
        except OSError:
            return


@pytest.fixture
def network(echo: int) -> Iterator[Network]:
    network = Network()
    network.add("link", echo)
    yield network
    network.close()


@contextmanager
def connected(network: Network) -> Iterator[socket.socket]:
    port = network.links["link"].port
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"
        yield connection


def test_a_cut_link_ends_connections_and_takes_no_new_ones(network: Network) -> None:
    with connected(network) as connection:
        network.cut("link")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(OSError, match=r"reset|closed"), connected(network):
        pass
    network.restore("link")
    with connected(network):
        pass


@pytest.mark.parametrize("directions", [DIRECTIONS[:1], DIRECTIONS[1:], DIRECTIONS], ids=" and ".join)
def test_what_a_silent_link_held_back_comes_late(network: Network, directions: tuple[str, ...]) -> None:
    with connected(network) as connection:
        network.silence("link", *directions)
        connection.sendall(b"anybody?")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(8)
        connection.settimeout(DEADLINE)
        network.restore("link")
        assert connection.recv(8) == b"anybody?"


def test_a_delayed_link_delivers_in_order(network: Network) -> None:
    network.delay("link", "to_client", 0.05)
    with connected(network) as connection:
        for part in (b"one ", b"two ", b"three"):
            connection.sendall(part)
        answer = b""
        while len(answer) < len(b"one two three"):
            answer += connection.recv(20)
        assert answer == b"one two three"


def test_a_redirected_link_leads_elsewhere(network: Network) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, connected(network) as connection:
        network.redirect("link", other.getsockname()[1])
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        port = network.links["link"].port
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE):
            accepted, _ = other.accept()
            accepted.close()


def test_the_end_of_one_side_reaches_the_other(network: Network) -> None:
    with connected(network) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    wait_for(lambda: not network.links["link"].connections, DEADLINE, "the link to forget the connection")


def test_closing_ends_a_connection_that_leads_nowhere_yet() -> None:
    network = Network()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = network.add("link", full.getsockname()[1])
        occupied, here = full.getsockname(), ("127.0.0.1", port)  # with room for one
        with (
            socket.create_connection(occupied),
            socket.create_connection(here, DEADLINE) as connection,
        ):
            network.close()
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
