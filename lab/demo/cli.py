"""`scripts/demo`: starts the system, or takes a running one, and walks through it."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from http.client import HTTPException

from lab.demo import calls, places, screen
from lab.demo.operating import Admin
from lab.demo.screen import Screen, say
from lab.demo.steps import Insight, Walkthrough
from lab.stack.binaries import find
from lab.stack.client import Client, People
from lab.stack.process import StackError
from lab.stack.servers import External, HasUrl, RabbitMQ, Redis
from lab.stack.signals import exit_on_sigterm
from lab.stack.system import Stack

HOW_TO_SIGN_IN = """\
The demo's users have a password: name it in DEMO_PASSWORD. Compose made one up; it is shown by
  docker compose -f compose/compose.yaml run --rm --no-deps user-service-setup \\
    grep DEMO_PASSWORD /run/secrets/env"""


WITHOUT = "Running without {}, which can be neither found nor installed here."


def main(arguments: argparse.Namespace) -> int:
    """The exit code: 0 when everything was as promised, 1 when not."""
    exit_on_sigterm()
    try:
        if arguments.against:
            _somebody_elses(*arguments.against)
        else:
            _own(embedded=arguments.embedded, stay=not arguments.check)
    except (StackError, OSError, HTTPException) as error:
        say(screen.paint(f"\nFAILED: {error}", screen.RED))
        return 1
    except KeyboardInterrupt:
        say("\ninterrupted")
        return 128 + signal.SIGINT
    return 0


def _somebody_elses(user_url: str, sidecar_url: str, admin_url: str) -> None:
    password = os.environ.get("DEMO_PASSWORD")
    if not password:
        raise StackError(HOW_TO_SIGN_IN)
    token = os.environ.get("AUTHZ_ADMIN_TOKEN")
    admin = Admin(admin_url, token) if token else None
    insight = Insight(calls.from_metrics(admin_url), "the sidecar's own metrics", admin=admin)
    _walk_through(People(user_url, password), Client(sidecar_url), insight)


def _own(*, embedded: bool, stay: bool) -> None:
    missing = () if embedded else _not_to_be_had()
    if missing:
        say(WITHOUT.format(" and ".join(missing)))
    with ExitStack() as exits:
        with screen.progress() as starting:
            stack, insight = _start(exits, embedded, starting)
        people = People(stack.user_service.url, stack.user_service.password)
        _walk_through(people, Client(stack.sidecar.url), insight)
        if stay:
            places.tell(stack)
            with suppress(KeyboardInterrupt):
                signal.pause()
            say("\nstopping")


def _walk_through(people: People, sidecar: Client, insight: Insight) -> None:
    Walkthrough(people, sidecar, insight, Screen()).run()
    say(screen.paint("\nEverything was as promised.", screen.GREEN))


def _start(exits: ExitStack, embedded: bool, starting: Callable[[str], None]) -> tuple[Stack, Insight]:
    redis = None if embedded else _server("DEMO_REDIS_URL", Redis, exits, starting)
    rabbitmq = None if embedded else _server("DEMO_AMQP_URL", RabbitMQ, exits, starting)
    token = secrets.token_hex(8)
    admin_token = {"AUTHZ_ADMIN_TOKEN": token}
    stack = exits.enter_context(
        Stack(redis=redis, rabbitmq=rabbitmq, sidecar_env=admin_token, starting=starting)
    )
    return stack, Insight(
        calls.from_access_log(stack.user_service),
        "the User service's access log",
        stack.user_service,
        asking_sidecar=stack.add_sidecar({"AUTHZ_VALIDATION": "request"}),
        shadow_sidecar=stack.add_sidecar({"AUTHZ_MODE": "shadow"}),
        admin=Admin(stack.sidecar.admin_url, token),
    )


def _not_to_be_had() -> list[str]:
    """Servers that nobody has named, and whose programs are not installed."""
    servers = {"DEMO_REDIS_URL": Redis, "DEMO_AMQP_URL": RabbitMQ}
    return [
        f"{kind.name}-server"
        for variable, kind in servers.items()
        if not os.environ.get(variable) and find(f"{kind.name}-server") is None
    ]


def _server(
    variable: str, kind: type[Redis | RabbitMQ], exits: ExitStack, starting: Callable[[str], None]
) -> HasUrl | None:
    """The one that the variable names, else one of our own, or none where its program is not to be had."""
    if url := os.environ.get(variable):
        return External(url)
    if find(f"{kind.name}-server") is None:
        return None
    starting(kind.name)
    server = kind()
    exits.enter_context(server)
    return server
