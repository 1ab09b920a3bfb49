"""The system as a whole: services, relay and one sidecar, joined as in production."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Self, TypeVar

from lab.stack.daemon import Daemon
from lab.stack.servers import HasUrl, RabbitMQ
from lab.stack.services import Relay, Sidecar, StudentService, UserService

D = TypeVar("D", bound=Daemon)


class Stack:
    """Starts everything in order of need on entering, and ends it on leaving, however that comes about.

    Without `redis` and `rabbitmq` it runs embedded: the copy in memory, changes from the feed.
    """

    def __init__(
        self,
        *,
        redis: HasUrl | None = None,
        rabbitmq: HasUrl | None = None,
        database_url: str | None = None,
        user_service_env: Mapping[str, str] | None = None,
        sidecar_env: Mapping[str, str] | None = None,
        starting: Callable[[str], object] = lambda name: None,
    ) -> None:
        """`database_url`: of the User service. `starting` is told the name of each part before its start."""
        self._redis = redis
        self._rabbitmq = rabbitmq
        self._sidecar_env = dict(sidecar_env or {})
        self._starting = starting
        self._exits = ExitStack()
        self.user_service = UserService(database_url, user_service_env)
        self.student_service = StudentService()
        self.relay: Relay | None = None
        self.sidecar: Sidecar

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self._exits = exits
            self._enter(self.user_service)
            self._enter(self.student_service)
            if self._rabbitmq is not None:
                self.relay = self._enter(Relay(self.user_service, self._rabbitmq.url))
            self.sidecar = self.add_sidecar(self._sidecar_env)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def add_sidecar(self, env: Mapping[str, str] | None = None) -> Sidecar:
        """Starts a sidecar in front of the Student service; it is stopped with the rest."""
        stores = self._redis_env() | self._rabbitmq_env()
        sidecar = Sidecar(self.user_service, self.student_service.url, {**stores, **(env or {})})
        return self._enter(sidecar)

    def _enter(self, part: D) -> D:
        self._starting(part.name)
        self._exits.enter_context(part)
        return part

    def _redis_env(self) -> dict[str, str]:
        if self._redis is None:
            return {}
        # Several stacks may share one server, one after another.
        prefix = f"authz-{self.user_service.port}"
        return {"AUTHZ_REDIS_URL": self._redis.url, "AUTHZ_REDIS_PREFIX": prefix}

    def _rabbitmq_env(self) -> dict[str, str]:
        if self._rabbitmq is None:
            return {}
        if not isinstance(self._rabbitmq, RabbitMQ):
            return {"AUTHZ_AMQP_URL": self._rabbitmq.url}
        name, password = f"sidecar-{secrets.token_hex(4)}", secrets.token_hex(16)
        return {"AUTHZ_AMQP_URL": self._rabbitmq.add_sidecar(name, password)}
