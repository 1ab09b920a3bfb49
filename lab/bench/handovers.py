"""Newer versions take the place of older ones under load: nobody may be refused, and nobody wait for long."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.bench import visitors
from lab.bench.figures import Bar
from lab.bench.host import Cores
from lab.bench.peers.base import Site
from lab.bench.peers.sidecar import Cached
from lab.bench.result import Result
from lab.bench.upstream import STATUS
from lab.bench.visitors import Visits
from lab.bench.world import World
from lab.stack.services import UserService

HANDOVERS, REQUESTS, QUIET_REQUESTS = 10, 100_000, 20_000
QUICK_HANDOVERS, QUICK_REQUESTS, QUICK_QUIET = 2, 2_000, 2_000
USERS = 1_000
WORKERS = (1, 2)
"""Of the versions, in turn."""
P99_LIMIT = 5.0
UNAVAILABLE = "503"


class Successive(Cached):
    """One version after another."""

    name = "versions"

    def __init__(self, site: Site, user_service: UserService, env: Mapping[str, str]) -> None:
        super().__init__(site, user_service, env)
        self.sidecar.env = {**self.sidecar.env, "AUTHZ_HANDOVER": str(self.directory / "handover.sock")}

    def succeed(self, workers: int) -> None:
        """Another, of so many workers, takes over."""
        self.sidecar.env = {**self.sidecar.env, "AUTHZ_WORKERS": str(workers)}
        self.replace()


def run(cores: Cores, *, quick: bool, progress: Callable[[str], object]) -> Result:
    handovers, requests, quiet_requests = (
        (QUICK_HANDOVERS, QUICK_REQUESTS, QUICK_QUIET) if quick else (HANDOVERS, REQUESTS, QUIET_REQUESTS)
    )
    with World(cores, users=USERS, embedded=False, starting=progress) as world:
        versions = world.enter(Successive(world.site, world.user_service, world.sidecar_env))
        address = ("127.0.0.1", versions.port)
        progress(f"{quiet_requests} requests while nothing happens")
        with visitors.running(address, quiet_requests, world.tokens_path) as quiet:
            pass
        with visitors.running(address, requests, world.tokens_path) as visits:
            for number in range(handovers):
                progress(f"hand-over {number + 1} of {handovers}")
                versions.succeed(WORKERS[(number + 1) % len(WORKERS)])
    return _result(quiet, visits, handovers)


def _result(quiet: Visits, visits: Visits, handovers: int) -> Result:
    unavailable = visits.statuses[UNAVAILABLE]
    wrong = visits.statuses.total() - visits.statuses[str(STATUS)] - unavailable
    ratio = visits.p99 / quiet.p99
    return Result(
        title="Hand-overs",
        bars=[
            Bar("requests without an answer", 0, len(visits.failures), "requests"),
            Bar("answers of 503", 0, unavailable, "answers"),
            Bar("other wrong answers", 0, wrong, "answers"),
            Bar("p99 during hand-overs / while nothing happens", P99_LIMIT, ratio, "times"),
        ],
        facts={
            "hand-overs": f"{handovers}, between versions of 1 and of 2 workers in turn",
            "requests": f"{visits.requests:,}, {visits.new:,} of them on new connections",
            "p99 while nothing happens, ms": round(quiet.p99 * 1e3, 2),
            "p99 during hand-overs, ms": round(visits.p99 * 1e3, 2),
            "longest during hand-overs, ms": round(max(visits.seconds) * 1e3, 1),
            **({"what happened instead of answers": visits.failures[:5]} if visits.failures else {}),
        },
    )
