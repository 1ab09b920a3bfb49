"""The whole system on real parts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stack.client import People
from stack.servers import RabbitMQ, Redis
from stack.system import Stack


@pytest.fixture(scope="session")
def system(redis_server: Redis) -> Iterator[Stack]:
    """Everything: Redis, RabbitMQ, relay, both services, one sidecar.

    The broker is its own: the relay goes on publishing while other tests count what they receive.
    """
    with RabbitMQ() as broker, Stack(redis=redis_server, rabbitmq=broker) as stack:
        yield stack


@pytest.fixture(scope="session")
def people(system: Stack) -> People:
    return People(system.user_service.url, system.user_service.password)
