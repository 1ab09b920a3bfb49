"""Real servers, started when the first test asks for them; each pytest worker has its own."""

import signal
from collections.abc import Iterator

import pytest

from stack.servers import PostgreSQL, RabbitMQ, Redis


def pytest_configure() -> None:
    """A SIGTERM ends a run as Ctrl-C does: fixtures end the servers that they started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A private Redis that a test may also stop, kill or freeze, if it leaves it running."""
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A private RabbitMQ that a test may also stop, kill or freeze, if it leaves it running."""
    with RabbitMQ() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """A private PostgreSQL that a test may also stop, kill or freeze, if it leaves it running."""
    with PostgreSQL() as server:
        yield server
