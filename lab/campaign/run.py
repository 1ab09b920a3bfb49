"""One campaign from beginning to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg
from pika.exceptions import AMQPError
from redis import RedisError

from authz_sidecar.archive.files import texts
from authz_sidecar.verify.archive import ArchiveError, replay
from authz_sidecar.verify.checker import check
from lab.campaign import evidence
from lab.campaign.catalogue import CATALOGUE, Fault, plan
from lab.campaign.faults import tables
from lab.campaign.load import Load
from lab.campaign.report import Injected, Report, Verified
from lab.campaign.system import AUDIT_SECONDS, MAX_STALENESS, System
from lab.campaign.writers import Writers
from lab.stack.process import StackError, wait_for

LIVE_WITHIN = 60.0

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. `rate`: requests a second. `calm`: seconds from one fault to the next.

    `workers`: of each sidecar.
    """

    seed: int
    minutes: float
    sidecars: int = 2
    workers: int = 2
    rate: float = 30.0
    faults: Sequence[Fault] = CATALOGUE
    calm: tuple[float, float] = (2.0, 4.0)

    def random(self, purpose: str) -> Random:
        """One source of randomness for each purpose: the faults do not depend on how fast others draw."""
        return Random(f"{self.seed} {purpose}")  # noqa: S311 (it has to be reproducible)


def run(wanted: Plan, directory: Path, say: Say = print) -> Report:
    """Start everything, inject faults for as long as wanted, stop everything, and judge every decision."""
    if any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty: evidence of two campaigns must not mix")
    report = Report(wanted.seed, wanted.minutes, MAX_STALENESS)
    with System(
        directory,
        sidecars=wanted.sidecars,
        workers=wanted.workers,
        starting=lambda name: say(f"starting {name}"),
    ) as system:
        writers, load = _clients(system, wanted)
        writers.start()
        load.start()
        try:
            _inject(wanted, system, report, say)
        except (StackError, OSError, psycopg.Error, AMQPError, RedisError) as error:
            report.errors.append(f"the campaign broke off: {error}")
        finally:
            load.stop()
            writers.stop()
        report.answers, report.writes = load.answers, writers.outcomes.counts
        _settle(system, report)
        say("judging every decision")
        _judge(system, report)
    return report


def _clients(system: System, wanted: Plan) -> tuple[Writers, Load]:
    writers = Writers(
        system.user_service.url, system.database_url, system.population, system.mint, wanted.random("writers")
    )
    load = Load(
        {name: sidecar.url for name, sidecar in system.sidecars.items()},
        system.population,
        system.mint,
        lambda: writers.outcomes.newest,
        wanted.random("load"),
        system.directory / "answers.jsonl",
        wanted.rate,
    )
    return writers, load


def _inject(wanted: Plan, system: System, report: Report, say: Say) -> None:
    random = wanted.random("faults")
    ends = time.monotonic() + wanted.minutes * 60
    for fault in plan(random, wanted.faults):
        time.sleep(random.uniform(*wanted.calm))
        if time.monotonic() > ends:
            return
        injected = Injected(fault.name, "", fault.loses, time.time(), seamless=fault.seamless)
        report.injected.append(injected)
        with fault.inject(system, random) as injected.detail:
            time.sleep(random.uniform(*fault.seconds))
        injected.ended_at = time.time()
        _await_live(system, f"LIVE again after {fault.name} ({injected.detail})")
        injected.live_at = time.time()
        lasted, waited = injected.ended_at - injected.began_at, injected.live_at - injected.ended_at
        say(f"{fault.name} ({injected.detail}): {lasted:.1f} s, LIVE after {waited:.1f} s")


def _await_live(system: System, what: str) -> None:
    """Every sidecar, with all that had been written when this was called."""
    archiver = system.archiver
    since = archiver.position
    for name, sidecar in system.sidecars.items():
        wait_for(lambda: sidecar.stands(since, archiver.position), LIVE_WITHIN, f"{name} {what}", pause=0.05)  # noqa: B023 (called at once)


def _settle(system: System, report: Report) -> None:
    """Let the log reach the tables, the sidecars write their last lines, the archive reach the end."""
    _await_equal_tables(system, report)
    for sidecar in system.sidecars.values():
        sidecar.stop()
    system.archiver.drain()
    if system.archiver.error is not None:
        report.errors.append(f"the archive is not whole: {system.archiver.error}")


def _await_equal_tables(system: System, report: Report) -> None:
    """What left no mark must be found by the audit, which nobody but time starts."""
    left: list[str] = []

    def equal() -> bool:
        left[:] = tables.unlike_the_log(system.database_url)
        return not left

    try:
        wait_for(equal, 2 * AUDIT_SECONDS, "the log to say what the tables say", pause=1)
    except (StackError, psycopg.Error) as error:
        report.errors.append(f"{error}: users {', '.join(left)}")


def _judge(system: System, report: Report) -> None:
    laid, lost = evidence.collect(
        [sidecar.decisions_path for sidecar in system.sidecars.values()],
        system.directory / "answers.jsonl",
        system.upstream.received_path,
        system.kills,
    )
    try:
        found = check(laid, replay(texts(system.directory / "archive.jsonl")), MAX_STALENESS)
    except ArchiveError as error:
        report.errors.append(f"the archive cannot be replayed: {error}")
        return
    report.verified = Verified(
        found.codes.total(),
        dict(found.codes.most_common()),
        found.oldest,
        found.violations + found.unjudged,
        len(lost),
    )
