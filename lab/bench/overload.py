"""Four times the load that the sidecar can carry: what it costs, and whether it ends with the load."""

from __future__ import annotations

import threading
from itertools import cycle

from lab.bench import flood, load, pace
from lab.bench.figures import Bar
from lab.bench.flood import Question
from lab.bench.host import MIB, memory_bytes
from lab.bench.peers.sidecar import Cached
from lab.bench.result import Result
from lab.bench.upstream import STATUS
from lab.bench.world import World
from lab.stack.process import Process

TIMES = 4
FORBIDDEN_EVERY = 10
CALM_RATE = 200
GROWTH_LIMIT = 64 * MIB
LATE_GROWTH_LIMIT = 4 * MIB
"""Between the middle and the end of the load: what is bounded has reached its bound by then."""


class Watch:
    """Samples a program's memory while it is entered."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.samples: list[int] = []

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(0.25):
            self.samples.append(memory_bytes(self._process))


def run(world: World, *, quick: bool) -> Result:
    seconds = 3.0 if quick else 20.0
    with Cached(world.site, world.user_service, world.sidecar_env) as sidecar:
        address = ("127.0.0.1", sidecar.port)
        messages = pace.messages(sidecar.address, world.tokens.allowed)
        load.run(sidecar.address, world.tokens_path, 1)
        capacity = load.run(sidecar.address, world.tokens_path, 2).rate
        calm = pace.run(address, messages, CALM_RATE, 2)
        before = memory_bytes(sidecar.process)
        with Watch(sidecar.process) as watch:
            result = flood.run(address, _questions(sidecar, world), capacity * TIMES, seconds)
        after = pace.run(address, messages, CALM_RATE, 2)
        later = load.run(sidecar.address, world.tokens_path, 2).rate
    late = max(watch.samples) - max(watch.samples[: len(watch.samples) // 2])
    bars = [
        Bar("overload: wrong answers", 0, result.wrong + sum(s != STATUS for s in after.statuses), "answers"),
        Bar("overload: requests without an answer", 0, result.broken, "requests"),
        Bar("overload: memory growth", GROWTH_LIMIT / MIB, (max(watch.samples) - before) / MIB, "MiB"),
        Bar("overload: of that in the second half", LATE_GROWTH_LIMIT / MIB, late / MIB, "MiB"),
        Bar("overload: capacity before / after it", 1.25, capacity / later, "times"),
    ]
    facts = {
        "capacity, requests/s": round(capacity),
        "offered, requests/s": round(result.due / result.sending_seconds),
        "taken up by a connection": f"{result.sent:,} of {result.due:,}",
        "of those, behind the announced end of a connection": f"{result.again:,}",
        "answered": dict(sorted(result.statuses.items())),
        "answered while the load lasted and until it had drained, requests/s": round(
            sum(result.statuses.values()) / (result.sending_seconds + result.drained_seconds)
        ),
        "seconds from the end of the load to the last answer": round(result.drained_seconds, 2),
        f"median at {CALM_RATE} requests/s before, µs": round(calm.p50 * 1e6),
        f"median at {CALM_RATE} requests/s after, µs": round(after.p50 * 1e6),
    }
    return Result("Overload", bars, facts)


def _questions(sidecar: Cached, world: World) -> cycle[Question]:
    """Without bodies: the upstream would answer before it has them, which rightly ends a connection."""
    allowed = pace.messages(sidecar.address, world.tokens.allowed, body="")
    (forbidden,) = pace.messages(sidecar.address, [world.tokens.forbidden], body="")
    questions = [Question(message, STATUS) for message in allowed]
    for place in range(0, len(questions), FORBIDDEN_EVERY):
        questions[place] = Question(forbidden, 403)
    return cycle(questions)
