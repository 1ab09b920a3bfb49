"""What the campaign found: a table for people, JSON for programs, and whether it is good enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lab.campaign.evidence import Line

LEAST_AVAILABLE = 0.99
"""Share of the requests that must be decided: outside faults, and while any one dependency is away."""
EMPTYING = ("evict from redis", "flush redis")
WITHOUT_COPY_SECONDS = 60.0
"""So long a store that lost its copy again and again is not loaded anew: a snapshot costs too much."""
PROOF_SECONDS = 1.5
"""How old the newest proof of freshness may be when a dependency is lost: heartbeats come every second."""


@dataclass(slots=True)
class Injected:
    """One fault that was injected. Instants in Unix seconds; `live_at` is `None` if it was not LIVE again."""

    fault: str
    detail: str
    loses: str | None
    began_at: float
    ended_at: float = 0.0
    live_at: float | None = None
    seamless: bool = False

    @property
    def over_at(self) -> float:
        return self.ended_at if self.live_at is None else self.live_at


@dataclass(slots=True)
class Window:
    """The requests of some time. `outage`: the longest time in which one sidecar served nobody."""

    requests: int = 0
    unknown: int = 0
    broken: int = 0
    outage: float = 0.0

    @classmethod
    def of(cls, answers: Sequence[Line], begin: float, end: float) -> Window:
        inside = [answer for answer in answers if begin <= answer["sent_at"] < end]
        return cls(
            requests=len(inside),
            unknown=sum(answer["status"] == 503 for answer in inside),
            broken=sum(answer["status"] is None for answer in inside),
            outage=max((_outage(group) for group in _by_sidecar(inside)), default=0.0),
        )

    def __add__(self, other: Window) -> Window:
        return Window(
            self.requests + other.requests,
            self.unknown + other.unknown,
            self.broken + other.broken,
            max(self.outage, other.outage),
        )

    @property
    def served(self) -> float:
        """Share of the requests that were decided."""
        return 1 - (self.unknown + self.broken) / self.requests if self.requests else 1.0


def _by_sidecar(answers: Sequence[Line]) -> Iterator[list[Line]]:
    for name in {answer["sidecar"] for answer in answers}:
        yield [answer for answer in answers if answer["sidecar"] == name]


def _outage(answers: list[Line]) -> float:
    """From the first request that got no decision to the answer that ended the longest such run."""
    longest, since = 0.0, None
    for answer in sorted(answers, key=lambda line: line["sent_at"]):
        if answer["status"] in (None, 503):
            since = answer["sent_at"] if since is None else since
            longest = max(longest, answer["answered_at"] - since)
        elif since is not None:
            longest = max(longest, answer["answered_at"] - since)
            since = None
    return longest


@dataclass(slots=True)
class Verified:
    """What the exact checker said."""

    decisions: int
    codes: dict[str, int]
    oldest: float
    violations: list[str]
    excused: int


@dataclass(slots=True)
class Report:
    """Everything about one campaign."""

    seed: int
    minutes: float
    max_staleness: float
    injected: list[Injected] = field(default_factory=list)
    answers: list[Line] = field(default_factory=list)
    writes: Counter[str] = field(default_factory=Counter)
    verified: Verified | None = None
    errors: list[str] = field(default_factory=list)
    """What went wrong with the campaign itself, so that nothing is proved."""

    @property
    def hung(self) -> int:
        return sum(bool(answer.get("hung")) for answer in self.answers)

    def window(self, fault: Injected) -> Window:
        return Window.of(self.answers, fault.began_at, fault.over_at)

    def without(self, dependency: str) -> Window:
        """What was sent while a dependency was away and the newest proof still held.

        Not what names a revision that is not here: whether it is of this history only the User service knows.
        Nor what nobody has at hand, where Redis has just lost its copy: that is a second loss.
        """
        windows = [self._first(each) for each in self.injected if each.loses == dependency]
        return sum(windows, Window())

    def _first(self, fault: Injected) -> Window:
        excused = ["behind", "grants_unknown"] if self._follows_emptying(fault) else ["behind"]
        answers = [answer for answer in self.answers if answer.get("code") not in excused]
        return Window.of(answers, fault.began_at, min(fault.ended_at, fault.began_at + self.bridged))

    def _follows_emptying(self, fault: Injected) -> bool:
        ages = [fault.began_at - each.ended_at for each in self.injected if each.fault in EMPTYING]
        return any(0 <= age < WITHOUT_COPY_SECONDS for age in ages)

    @property
    def bridged(self) -> float:
        """Seconds that the copy must outlast any dependency."""
        return self.max_staleness - PROOF_SECONDS

    @property
    def dependencies(self) -> list[str]:
        """Those that were lost at some time."""
        return sorted({each.loses for each in self.injected if each.loses})

    @property
    def seamless(self) -> list[str]:
        """The faults that no request may notice."""
        return sorted({each.fault for each in self.injected if each.seamless})

    def during(self, fault: str) -> Window:
        """What was sent while there was a fault of this kind."""
        return sum((self.window(each) for each in self.injected if each.fault == fault), Window())

    def outside(self) -> Window:
        """What was sent while there was no fault, and none was being recovered from."""
        calm = [
            answer
            for answer in self.answers
            if not any(each.began_at <= answer["sent_at"] < each.over_at for each in self.injected)
        ]
        return Window.of(calm, 0, float("inf"))

    def wrong(self) -> list[str]:
        """What must never be; nothing when every decision was right and every outage ended by itself."""
        found = list(self.errors)
        if self.verified is None:
            found.append("nothing was verified")
        elif self.verified.violations:
            found.append(f"{len(self.verified.violations)} violations")
        if self.hung:
            found.append(f"{self.hung} requests hung")
        found += [
            f"not LIVE again after: {each.fault} ({each.detail})"
            for each in self.injected
            if each.live_at is None
        ]
        return found + [
            f"{window.broken} requests broken by: {each.fault} ({each.detail})"
            for each in self.injected
            if each.seamless and (window := self.window(each)).broken
        ]

    def unavailable(self) -> list[str]:
        """When too few requests were decided, which a busy machine alone can bring about."""
        windows = {f"without {name}": self.without(name) for name in self.dependencies}
        windows |= {f"during {name}": self.during(name) for name in self.seamless}
        windows["outside faults"] = self.outside()
        return [
            f"only {window.served:.2%} were decided {when}"
            for when, window in windows.items()
            if window.served < LEAST_AVAILABLE
        ]

    def failures(self) -> list[str]:
        """Why the campaign failed; nothing when it succeeded."""
        return self.wrong() + self.unavailable()


def text(report: Report) -> str:
    """The report for people."""
    lines = [f"seed {report.seed}, {report.minutes:g} minutes", "", *_kinds(report), "", *_totals(report)]
    if report.verified:
        lines += [f"WRONG {violation}" for violation in report.verified.violations[:50]]
    lines += [f"FAILED: {failure}" for failure in report.failures()] or ["PASSED"]
    return "\n".join(lines)


_COLUMNS = "{:<22} {:>6} {:>9} {:>7} {:>7} {:>9} {:>9}"


def _kinds(report: Report) -> Iterator[str]:
    yield _COLUMNS.format("fault", "times", "requests", "503", "broken", "outage s", "LIVE in s")
    for name in sorted({each.fault for each in report.injected}):
        times = [each for each in report.injected if each.fault == name]
        window = report.during(name)
        waits = [each.live_at - each.ended_at for each in times if each.live_at is not None]
        yield _row(name, len(times), window, f"{max(waits, default=float('inf')):.1f}")
    yield _row("outside faults", 0, report.outside(), "")


def _row(name: str, times: int, window: Window, live: str) -> str:
    return _COLUMNS.format(
        name, times or "", window.requests, window.unknown, window.broken, f"{window.outage:.1f}", live
    )


def _totals(report: Report) -> Iterator[str]:
    names = {each.fault for each in report.injected}
    yield f"{len(report.injected)} faults of {len(names)} kinds; writes: {dict(report.writes)}"
    if report.verified:
        found = report.verified
        yield f"{found.decisions} decisions {found.codes}, the oldest {found.oldest:.3f} s behind"
        yield f"{len(found.violations)} wrong or missing; {found.excused} lines lost with killed sidecars"
    for dependency in report.dependencies:
        yield f"in the first {report.bridged:g} s without {dependency}: {_share(report.without(dependency))}"
    yield f"{report.hung} requests hung; {report.outside().served:.2%} decided outside faults"


def _share(window: Window) -> str:
    decided = window.requests - window.unknown - window.broken
    return f"{decided} of {window.requests} requests decided"


def as_json(report: Report) -> dict[str, Any]:
    """The report for programs."""
    return {
        "seed": report.seed,
        "minutes": report.minutes,
        "passed": not report.failures(),
        "failures": report.failures(),
        "faults": [{**asdict(each), **asdict(report.window(each))} for each in report.injected],
        "without": {name: asdict(report.without(name)) for name in report.dependencies},
        "outside": {**asdict(report.outside()), "served": report.outside().served},
        "verified": asdict(report.verified) if report.verified else None,
        "writes": dict(report.writes),
        "hung": report.hung,
    }
