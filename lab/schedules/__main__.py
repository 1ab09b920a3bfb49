"""Command line of the explorer of schedules: see docs/schedules.md."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.schedules.report import Report


def main(argv: list[str] | None = None) -> int:
    given = _parser().parse_args(argv)
    from lab.schedules import workers  # only now: Django takes its time, and --help should not

    workers.begin()
    if given.replay:
        return _replay(given.replay)
    report = _explore(given)
    print(report)
    return 1 if report.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/explore",
        description="Play schedules of writers beside the change log's own work; judge each.",
    )
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--seed", type=int, default=1, help="which schedules")
    parser.add_argument("--minutes", type=float, default=10, help="for how long, at most")
    parser.add_argument("--schedules", type=int, help="how many, at most")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a kind or a writer that takes part"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="a kind, a writer, an action of ours or `limits`",
    )
    # Half of the time a schedule waits: for its database, or until somebody has given way.
    workers = 2 * (os.cpu_count() or 1)
    parser.add_argument("--workers", type=int, default=workers, help="processes, a database each")
    parser.add_argument("--replay", metavar="SCHEDULE", help="play this one, and print all that happened")
    return parser


def _replay(text: str) -> int:
    from lab.schedules import report, workers
    from lab.schedules.schedule import parse

    schedule = parse(text)
    with workers.player(schedule.database) as player:
        verdict = player.play(schedule)
    print(report.told(verdict, width=None))
    return 1 if verdict.wrong else 0


def _explore(given: argparse.Namespace) -> Report:
    from lab.schedules import workers
    from lab.schedules.generation import Choice, schedules
    from lab.schedules.report import Report

    choice = Choice(given.database, given.only, given.without)
    texts = map(str, itertools.islice(schedules(choice, given.seed), given.schedules))
    report = Report()
    with workers.workers(given.database, given.workers) as pool:
        report.begun = time.monotonic()
        for verdict in workers.play(pool, texts, given.minutes * 60, given.workers):
            report.add(verdict)
            if verdict.wrong:
                print(f"{verdict.schedule}\n  WRONG: {verdict.wrong[0]}", file=sys.stderr, flush=True)
        report.seconds = time.monotonic() - report.begun
        report.smallest = workers.shrink(pool, report.examples())
    return report


if __name__ == "__main__":
    sys.exit(main())
