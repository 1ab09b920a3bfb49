"""The whole system on real parts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stack.client import People
from stack.servers import RabbitMQ, Redis
from stack.system import Stack


@pytest.fixture(scope="session")
def system(redis_server: Redis, rabbitmq: RabbitMQ) -> Iterator[Stack]:
    """Everything: Redis, RabbitMQ, relay, both services, one sidecar."""
    with Stack(redis=redis_server, rabbitmq=rabbitmq) as stack:
        yield stack


@pytest.fixture(scope="session")
def people(system: Stack) -> People:
    return People(system.user_service.url, system.user_service.password)
