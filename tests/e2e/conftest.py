"""The whole system on real parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.client import People
from stack.servers import RabbitMQ, Redis
from stack.services import POLICY
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


@pytest.fixture(scope="session")
def permissive_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped rules, and whatever none of them governs is left to the service to refuse."""
    rest = "  - methods: [POST, PUT, PATCH, DELETE]\n    path: /{rest:path}\n    allow: anyone\n"
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(POLICY.read_text() + rest)
    return path
