"""One revocation, watched: the subject keeps asking while the administrator's call is answered.

One thread does both, so that the moments are of one clock and in the order in which they were seen.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from select import EPOLLIN, epoll, select

from lab.bench.pace import SILENCE_SECONDS, Connection
from lab.bench.upstream import STATUS
from lab.stack.process import StackError

CONNECTIONS = 64
PERIOD_SECONDS = 0.00125
GAP_LIMIT_MS = 2.0
"""The subject is to be seen asking at least so often."""
LEAD_SECONDS = (0.02, 0.06)
"""How long the subject asks before the permission is revoked: at random, so as not to beat with anything."""
REFUSALS = 20
"""Refusals in a row, all sent after the answer, that end the watch."""
_REVISION = re.compile(rb"\r\nauthz-revision: *(\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class Revocation:
    """Milliseconds from the revoking answer; 0 where it was over before."""

    answered_ms: float
    """To the answer, from being sent."""
    late_ms: float
    """To the last request sent that was allowed."""
    refused_ms: float
    """To the first request sent after that one: it was refused."""
    late_allows: int
    unknown: int
    gap_ms: float
    """Longest time between two requests."""


@dataclass
class _Probe:
    sent: float
    status: int = 0


class _Watch:
    def __init__(
        self,
        admin: Connection,
        connections: Sequence[Connection],
        first: bytes,
        after: Callable[[str], bytes],
    ) -> None:
        self._admin = admin
        self._watched = {each.fileno(): each for each in (admin, *connections)}
        self._ready = epoll()
        for descriptor in self._watched:
            self._ready.register(descriptor, EPOLLIN)
        self._message = first
        self._after = after
        self._idle = deque(connections)
        self._busy: dict[Connection, _Probe] = {}
        self._next = time.perf_counter()
        self.probes: list[_Probe] = []
        self.answered = 0.0

    def turn(self) -> None:
        """Ask when it is time, then take one of the answers; wait for one until it is time again."""
        now = time.perf_counter()
        if self._idle and now >= self._next:
            self._ask(now)
        wait = max(0.0, self._next - time.perf_counter()) if self._idle else SILENCE_SECONDS
        select([self._ready], (), (), wait)  # to the microsecond; epoll itself counts in milliseconds
        for descriptor, _ in self._ready.poll(0, 1):
            connection = self._watched[descriptor]
            if connection is self._admin:
                self._revoked(connection)
            elif (status := connection.receive()) is not None:
                self._busy.pop(connection).status = status
                self._idle.append(connection)

    def _ask(self, now: float) -> None:
        connection, probe = self._idle.popleft(), _Probe(time.perf_counter())
        connection.send(self._message, probe.sent)
        self._busy[connection] = probe
        self.probes.append(probe)
        self._next = max(self._next + PERIOD_SECONDS, now)

    def _revoked(self, admin: Connection) -> None:
        now, status = time.perf_counter(), admin.receive()
        if status is None:
            return
        revision = _REVISION.search(admin.head)
        if status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT) or revision is None:
            raise StackError(f"a revocation was answered {admin.head!r}")
        self.answered = now
        self._message = self._after(revision[1].decode())

    def over(self) -> bool:
        """Enough refusals in a row, and nothing under way."""
        last = self.probes[-REFUSALS:]
        refused = all(probe.status == HTTPStatus.FORBIDDEN and probe.sent > self.answered for probe in last)
        return bool(self.answered) and len(last) == REFUSALS and refused

    def drain(self) -> None:
        self._ready.close()
        for connection in list(self._busy):
            while connection.receive() is None:
                pass


def revoke(
    admin: Connection,
    revoking: bytes,
    connections: Sequence[Connection],
    first: bytes,
    after: Callable[[str], bytes],
    lead: float,
) -> Revocation:
    """Sends `first` again and again, from the revoking answer on what `after` makes of its revision."""
    watch = _Watch(admin, connections, first, after)
    start = time.perf_counter()
    while time.perf_counter() - start < lead or not any(probe.status == STATUS for probe in watch.probes):
        watch.turn()
    sent = time.perf_counter()
    admin.send(revoking, 0.0)
    while not watch.over():
        watch.turn()
        if time.perf_counter() - start > SILENCE_SECONDS:
            raise StackError(f"a revocation had no effect within {SILENCE_SECONDS:g} s")
    watch.drain()
    return _revocation(watch.probes, sent, watch.answered)


def _revocation(probes: Sequence[_Probe], revoked: float, answered: float) -> Revocation:
    allowed = [index for index, probe in enumerate(probes) if probe.status == STATUS]
    late = [probe for probe in probes if probe.status == STATUS and probe.sent > answered]
    gaps = [later.sent - sooner.sent for sooner, later in pairwise(probes)]
    return Revocation(
        answered_ms=(answered - revoked) * 1e3,
        late_ms=max(0.0, probes[allowed[-1]].sent - answered) * 1e3,
        refused_ms=max(0.0, probes[allowed[-1] + 1].sent - answered) * 1e3,
        late_allows=len(late),
        unknown=sum(probe.status == HTTPStatus.SERVICE_UNAVAILABLE for probe in probes),
        gap_ms=max(gaps) * 1e3,
    )
