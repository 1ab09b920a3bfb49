"""Real servers, started when the first test asks for them; each pytest worker has its own."""

import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lab.stack.client import People
from lab.stack.servers import PostgreSQL, RabbitMQ, Redis
from lab.stack.system import Stack

# A busy machine may need seconds for an example.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure() -> None:
    """A SIGTERM ends a run as Ctrl-C does: fixtures end the servers that they started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_report_header() -> str:
    spec = find_spec("authz_sidecar.pipeline")
    assert spec is not None
    assert spec.origin is not None
    how = "as it is written" if spec.origin.endswith(".py") else "compiled"
    return f"authz_sidecar: {how}, from {Path(spec.origin).parent}"


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


@pytest.fixture(scope="session")
def system(redis_server: Redis) -> Iterator[Stack]:
    """Everything: Redis, RabbitMQ, relay, both services, one sidecar.

    The broker is its own: the relay goes on publishing while other tests count what they receive.
    """
    named_by = {"AUTHZ_SUBJECT": "pk,username"}
    with RabbitMQ() as broker, Stack(redis=redis_server, rabbitmq=broker, user_service_env=named_by) as stack:
        yield stack


@pytest.fixture(scope="session")
def people(system: Stack) -> People:
    return People(system.user_service.url, system.user_service.password)
