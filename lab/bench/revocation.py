"""How long a permission outlives its revocation, under load, on PostgreSQL, RabbitMQ and Redis."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from lab.bench import background, host, pace, probing
from lab.bench.bare import Bare
from lab.bench.figures import Bar, percentile
from lab.bench.host import Cores
from lab.bench.pace import Connection
from lab.bench.peers.sidecar import Cached
from lab.bench.probing import Revocation
from lab.bench.result import Result
from lab.bench.seed import PERMISSION
from lab.bench.world import World
from lab.stack.client import People
from lab.stack.process import StackError

BACKGROUND_RATE = 500
BACKGROUND_USERS = 500
P99_LIMIT_MS = 25.0
MESSAGES = {50: 2.5, 99: 1.2}
"""So many times what a bare message takes, at these percentiles."""


@dataclass(frozen=True)
class Bench:
    """Who is revoked what, where, and by whom."""

    sidecar: tuple[str, int]
    user_service: tuple[str, int]
    admin_token: str
    world: World

    @classmethod
    def of(cls, world: World, sidecar: Cached) -> Self:
        service = world.user_service
        token = People(service.url, service.password).token("admin", audience="user-service")
        return cls(("127.0.0.1", sidecar.port), ("127.0.0.1", service.port), token, world)

    def revoking(self, user: int) -> bytes:
        """The administrator's request."""
        path = f"/api/users/{self.world.tokens.subjects[user]}/permissions/{PERMISSION}/"
        return (
            f"DELETE {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.admin_token}\r\n\r\n"
        ).encode()

    def asking(self, user: int, revision: str | None = None) -> bytes:
        """The user's request, which names a revision when one is given."""
        (message,) = pace.messages("127.0.0.1", [self.world.tokens.allowed[user]])
        line = f"Authz-Min-Revision: {revision}\r\n".encode() if revision else b""
        start, separator, rest = message.partition(b"\r\n")
        return start + separator + line + rest


def run(cores: Cores, *, quick: bool, progress: Callable[[str], object]) -> Result:
    plain, bound = (20, 20) if quick else (550, 500)
    users = plain + bound + BACKGROUND_USERS
    with World(cores, users=users, embedded=False, starting=progress) as world:
        sidecar = world.enter(Cached(world.site, world.user_service, world.sidecar_env))
        bench = Bench.of(world, sidecar)
        tokens = world.echo.directory / "background"
        tokens.write_text("\n".join(world.tokens.allowed[plain + bound :]))
        with (
            background.running(bench.sidecar, BACKGROUND_RATE, tokens) as statuses,
            host.foremost() as priority,
        ):
            progress(f"{plain} revocations, and a message between two clients of the broker after each")
            with Bare(world.sidecar_env["AUTHZ_AMQP_URL"]) as bare:
                pairs = [(bare.milliseconds(), each) for each in revoke(bench, range(plain))]
            found = [each for _, each in pairs]
            progress(f"{bound} revocations named by Authz-Min-Revision")
            named = list(revoke(bench, range(plain, plain + bound), named=True))
    if set(statuses) != {HTTPStatus.CREATED}:
        raise StackError(f"the load in the background was answered {dict(statuses)}")
    messages = sorted(message for message, _ in pairs)
    facts = {"priority of the prober": priority, **_facts(found, named, messages)}
    raw = [{**vars(each), "bare_message_ms": message} for message, each in pairs]
    return Result("Revocation", _bars(found, named, messages), facts, raw=raw)


def revoke(bench: Bench, users: Sequence[int], *, named: bool = False) -> Iterator[Revocation]:
    """Revokes each user's permission while they use it. `named`: they then name the revision."""
    admin = Connection(*bench.user_service)
    connections = [Connection(*bench.sidecar) for _ in range(probing.CONNECTIONS)]
    for user in users:

        def after(revision: str, user: int = user) -> bytes:
            return bench.asking(user, revision if named else None)

        lead = random.uniform(*probing.LEAD_SECONDS)  # noqa: S311 (no secret)
        yield probing.revoke(admin, bench.revoking(user), connections, bench.asking(user), after, lead)
    for connection in (admin, *connections):
        connection.close()


def _bars(found: Sequence[Revocation], named: Sequence[Revocation], messages: Sequence[float]) -> list[Bar]:
    late = sorted(revocation.late_ms for revocation in found)
    bare = [
        Bar(
            f"the same / a bare message over this broker, p{percent}",
            limit,
            percentile(late, percent) / percentile(messages, percent),
            "times",
        )
        for percent, limit in MESSAGES.items()
    ]
    return [
        *bare,
        Bar(
            "last allowed request after a revocation's answer, p99", P99_LIMIT_MS, percentile(late, 99), "ms"
        ),
        Bar("late allows with Authz-Min-Revision", 0, sum(each.late_allows for each in named), "requests"),
    ]


def _facts(
    found: Sequence[Revocation], named: Sequence[Revocation], messages: Sequence[float]
) -> dict[str, Any]:
    late = sorted(revocation.late_ms for revocation in found)
    refused = sorted(revocation.refused_ms for revocation in found)
    gaps = sorted(revocation.gap_ms for revocation in found)
    answered = sorted(revocation.answered_ms for revocation in found)
    close = sorted(each.late_ms for each in found if each.gap_ms <= probing.GAP_LIMIT_MS)
    return {
        "revocations": f"{len(found)}, and {len(named)} named by Authz-Min-Revision",
        "last allowed request sent after the answer, ms: p50, p99, most": _three(late),
        "first refused request sent after the answer, ms: p50, p99, most": _three(refused),
        "a bare message, published and consumed, ms: p50, p99, most": _three(messages),
        "answer to the administrator, ms: p50, p99, most": _three(answered),
        "longest time between two requests of the subject, ms: p50, p99, most": _three(gaps),
        f"revocations whose subject asked every {probing.GAP_LIMIT_MS:g} ms or more often": len(close),
        "last allowed request of those, ms: p50, p99, most": _three(close) if close else "none",
        "revocations without any late allow": sum(not each.late_allows for each in found),
        "answers neither allowed nor refused (503)": sum(each.unknown for each in (*found, *named)),
    }


def _three(ordered: Sequence[float]) -> str:
    return f"{percentile(ordered, 50):.1f}, {percentile(ordered, 99):.1f}, {ordered[-1]:.1f}"
