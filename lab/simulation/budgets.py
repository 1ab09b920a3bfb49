"""What a sidecar may cost those it depends on, also while one of them stays broken."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

from lab.simulation.http import Request
from lab.simulation.scheduler import ProcessLoop

MINUTE = 60.0
CALLS = 1_500
"""Calls of one sidecar to the User service in a minute: pulls on demand are 0.1 s apart."""
SNAPSHOTS = 3
"""Whole snapshots of one process in a minute, whatever happens to its store and its history."""
IN_VAIN = 2
"""Of all who share a store, while it takes none and forgets nothing."""
TASKS = 400
CALLBACKS = 3_000
"""Of one process in one second: whatever is broken, nobody turns in circles."""
REMEMBERED = 2_300
"""Entities, and changes held back, of one process: the world has fewer entities than 300."""


class Budgets:
    """`say` is told of every excess."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._calls: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._steps: dict[object, int] = {}
        self.most_callbacks = self.most_remembered = self.most_tasks = 0
        self.most_snapshots = 0
        self.most_calls = 0

    def called(self, who: str, request: Request, now: float) -> None:
        self.most_calls = max(self.most_calls, self._count(who, "calls", now, CALLS))

    def read(self, who: str, request: Request, now: float, lives: int) -> None:
        """More than the head of an answer was read. `lives`: those of the store."""
        if request.path.endswith("/snapshot") and request.query.get("buckets") == "1":
            self.most_snapshots = max(self.most_snapshots, self._count(who, "snapshots", now, SNAPSHOTS))
            self._count(f"those who share life {lives} of the store", "snapshots", now, IN_VAIN)

    def looked_at(self, who: str, loop: ProcessLoop, remembered: int) -> None:
        """What a process has done since the last second, and what it holds."""
        steps = loop.steps - self._steps.get(loop, 0)
        self._steps[loop] = loop.steps
        self.most_callbacks = max(self.most_callbacks, steps)
        self.most_remembered = max(self.most_remembered, remembered)
        if steps > CALLBACKS:
            self._say(f"{who} ran {steps} callbacks within a second")
        if remembered > REMEMBERED:
            self._say(f"{who} holds {remembered} entities and changes")
        self.tasks(who, loop.tasks)

    def tasks(self, who: str, count: int) -> None:
        self.most_tasks = max(self.most_tasks, count)
        if count > TASKS:
            self._say(f"{who} has {count} tasks")

    def _count(self, who: str, what: str, now: float, bound: int) -> int:
        window = self._calls[who, what]
        window.append(now)
        while window[0] < now - MINUTE:
            window.popleft()
        if len(window) == bound + 1:
            self._say(f"{who} made {len(window)} {what} within a minute")
        return len(window)
