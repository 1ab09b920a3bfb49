"""How long an import of 50,000 users holds up other users' revocations, on PostgreSQL, RabbitMQ and Redis."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.request import urlopen

from lab.bench.figures import Bar, percentile
from lab.bench.host import Cores
from lab.bench.peers.sidecar import Cached
from lab.bench.probing import Revocation
from lab.bench.result import Result
from lab.bench.revocation import Bench, revoke
from lab.bench.world import World, django_script
from lab.stack.process import StackError

USERS = 1_000
"""More than can be revoked while the import lasts."""
LIMIT_MS = 1_000.0
DEADLINE_SECONDS = 300.0


@dataclass
class _Import:
    """The import, and how the sidecar fares meanwhile."""

    process: subprocess.Popen[bytes]
    status_url: str
    began: float = field(default_factory=time.monotonic)
    committed: float | None = None
    in_force: float | None = None
    stalest: float = 0.0
    phases: set[str] = field(default_factory=set)

    def look(self) -> None:
        now = time.monotonic()
        with urlopen(self.status_url, timeout=5) as answer:  # noqa: S310 (ours)
            replica = json.load(answer)["replica"]
        self.phases.add(replica["phase"])
        self.stalest = max(self.stalest, replica["staleness"])
        if self.committed is None and self.process.poll() is not None:
            self.committed = now
        # A proof of freshness that is younger than the import covers all of it.
        if self.committed and replica["staleness"] < now - self.committed:
            self.in_force = now
        if now - self.began > DEADLINE_SECONDS:
            raise StackError(f"the import was not in force after {DEADLINE_SECONDS:g} s")


def run(cores: Cores, *, quick: bool, progress: Callable[[str], object]) -> Result:
    count = 2_000 if quick else 50_000
    with World(cores, users=USERS, embedded=False, starting=progress) as world:
        sidecar = world.enter(Cached(world.site, world.user_service, world.sidecar_env))
        bench = Bench.of(world, sidecar)
        before = list(revoke(bench, range(20)))
        progress(f"importing {count} users")
        with django_script(world.user_service, "bulk_users.py", str(count)) as process:
            imported = _Import(process, f"{sidecar.sidecar.admin_url}/status")
            meanwhile = list(_revoke_until_in_force(bench, imported))
    if process.returncode:
        raise StackError(f"the import failed with exit code {process.returncode}")
    worst = max(map(_from_sending, meanwhile))
    bars = [Bar("a revocation is in force after it was sent, most", LIMIT_MS, worst, "ms")]
    return Result("Import", bars, _facts(before, meanwhile, imported), raw=[vars(each) for each in meanwhile])


def _revoke_until_in_force(bench: Bench, imported: _Import) -> Iterator[Revocation]:
    for revocation in revoke(bench, range(20, USERS)):
        yield revocation
        imported.look()
        if imported.in_force:
            return
    raise StackError("there were too few users to revoke permissions from")


def _from_sending(revocation: Revocation) -> float:
    return revocation.answered_ms + revocation.late_ms


def _facts(before: list[Revocation], meanwhile: list[Revocation], imported: _Import) -> dict[str, Any]:
    assert imported.committed is not None  # noqa: S101 (it is in force)
    assert imported.in_force is not None  # noqa: S101 (it was waited for)
    answered = sorted(each.answered_ms for each in meanwhile)
    late = sorted(each.late_ms for each in meanwhile)
    sent = sorted(map(_from_sending, meanwhile))
    return {
        "revocations meanwhile": len(meanwhile),
        "from being sent to in force, ms: p50, most": f"{percentile(sent, 50):.0f}, {sent[-1]:.0f}",
        "of that, up to the answer, ms: p50, most": f"{percentile(answered, 50):.0f}, {answered[-1]:.0f}",
        "of that, after the answer, ms: p50, most": f"{percentile(late, 50):.0f}, {late[-1]:.0f}",
        "from being sent to in force before the import, ms: most": f"{max(map(_from_sending, before)):.0f}",
        "the import's transaction, s": f"{imported.committed - imported.began:.0f}",
        "until it was in force, s after it": f"{imported.in_force - imported.committed:.0f}",
        "greatest staleness, s": f"{imported.stalest:.0f}",
        "phases of the sidecar": ", ".join(sorted(imported.phases)),
        "answers neither allowed nor refused (503)": sum(each.unknown for each in meanwhile),
    }
