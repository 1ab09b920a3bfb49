"""Another configuration while requests are served: read, judged as a whole, put into force or rejected.

Everything is read and checked in a thread. What is good is put into force in one step of the event loop, so
between two requests; of what is not, nothing is, and the last good one goes on. Only files can change while a
process lives: the policy, certificates, and secrets that were given as files.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from authz_sidecar.config import configuration
from authz_sidecar.config.configuration import Configuration, Contents
from authz_sidecar.core.errors import ConfigurationError

logger = logging.getLogger(__name__)

TAKES_EFFECT = frozenset(
    {"AUTHZ_POLICY", "AUTHZ_TLS_CERT", "AUTHZ_TLS_KEY", "AUTHZ_SERVICE_TOKEN", "AUTHZ_ADMIN_TOKEN"}
)
"""What is put into force at once. Everything else waits for a restart."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one attempt."""

    accepted: bool
    cause: str
    at: float
    """Unix seconds."""
    changed: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "accepted": self.accepted,
            "cause": self.cause,
            "at": self.at,
            "changed": list(self.changed),
            "needs_restart": list(self.needs_restart),
            "problems": list(self.problems),
        }


async def nowhere(_contents: Contents) -> Sequence[str]:
    """There are no other processes."""
    return ()


class Reloader:
    """One attempt at a time. `in_force` is the last good configuration."""

    def __init__(
        self,
        in_force: Configuration,
        apply: Callable[[Configuration], None],
        told: Callable[[Report], None],
        wall: Callable[[], float],
        spread: Callable[[Contents], Awaitable[Sequence[str]]] = nowhere,
    ) -> None:
        """`apply` puts a good configuration into force at once; `told` hears of every attempt.

        `spread` does the same in all other processes, and says what went wrong there.
        """
        self.in_force = in_force
        self.latest: Report | None = None
        self._apply = apply
        self._told = told
        self._wall = wall
        self._spread = spread
        self._tried: Contents = in_force.contents
        self._lock = asyncio.Lock()

    async def reload(self, cause: str) -> Report:
        """Read everything anew. `cause`: who wanted it, for the log."""
        async with self._lock:
            self._tried = await asyncio.to_thread(self.in_force.sources.contents)
            try:
                found = await asyncio.to_thread(configuration.read, self.in_force.sources)
                report = self._accept(found, cause)
                report = replace(report, problems=tuple(await self._spread(found.contents)))
            except ConfigurationError as error:
                problems = tuple(map(str, error.problems))
                report = Report(accepted=False, cause=cause, at=self._wall(), problems=problems)
            self.latest = report
            self._told(report)
            return report

    def _accept(self, found: Configuration, cause: str) -> Report:
        before = self.in_force.contents
        differ = [name for name, digest in found.contents.items() if before.get(name) != digest]
        self._apply(found)
        self.in_force, self._tried = found, found.contents
        return Report(
            accepted=True,
            cause=cause,
            at=self._wall(),
            changed=tuple(name for name in differ if name in TAKES_EFFECT),
            needs_restart=tuple(name for name in differ if name not in TAKES_EFFECT),
        )

    async def watch(self, interval: float) -> None:
        """Reload when the files have changed and then stayed the same for `interval` seconds."""
        seen: Contents = self._tried
        while True:
            await asyncio.sleep(interval)
            now = await asyncio.to_thread(self.in_force.sources.contents)
            if now == seen and now != self._tried:
                await self.reload("the files have changed")
            seen = now


def log(report: Report) -> None:
    fields = {"fields": {"reload": report.as_dict()}}
    if not report.accepted:
        logger.error("the configuration is rejected, the last good one goes on", extra=fields)
    elif report.problems:
        logger.error("reloaded, but not in every process", extra=fields)
    elif report.needs_restart:
        logger.warning("reloaded; a restart is needed for some of it", extra=fields)
    else:
        logger.info("reloaded", extra=fields)
