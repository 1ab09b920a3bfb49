"""`authz-sidecar verify`: reads the files, prints what was found."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authz_sidecar.commands.command import Command
from authz_sidecar.verify.archive import ArchiveError, replay
from authz_sidecar.verify.checker import Evidence, Report, check

SHOWN_VIOLATIONS = 50


@dataclass(frozen=True, slots=True)
class Files:
    """Where the evidence is: JSON lines, several files of a kind are read one after the other."""

    decisions: Sequence[Path]
    answers: Sequence[Path]
    received: Sequence[Path]
    archive: Path


def verify(files: Files, max_staleness: float) -> int:
    """Print a report; 0 when every decision was right, 1 when one was not, 2 when it cannot be told."""
    try:
        with ExitStack() as stack, files.archive.open(encoding="utf-8") as archive:
            evidence = Evidence(
                decisions=_lines(files.decisions, stack, only="decision"),
                answers=_lines(files.answers, stack),
                received=_lines(files.received, stack),
                failures=_lines(files.decisions, stack, only="failure"),
                retries=_lines(files.decisions, stack, only="retry"),
            )
            report = check(evidence, replay(archive), max_staleness)
    except (OSError, ValueError, KeyError, ArchiveError) as error:
        print(f"cannot tell: {error}", file=sys.stderr)
        return 2
    _print(report)
    return 1 if report.violations else 0


def _lines(paths: Sequence[Path], stack: ExitStack, only: str | None = None) -> Iterator[dict[str, Any]]:
    for path in paths:
        for number, text in enumerate(stack.enter_context(path.open(encoding="utf-8")), 1):
            try:
                line = json.loads(text)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: not JSON: {error}") from error
            if only is None or line.get("type") == only:
                yield line


def _print(report: Report) -> None:
    print(f"{report.codes.total()} decisions, the oldest {report.oldest:.3f} s behind")
    for code, count in report.codes.most_common():
        print(f"  {count:>9}  {code}")
    for violation in report.violations[:SHOWN_VIOLATIONS]:
        print(f"WRONG {violation}")
    print(f"{len(report.violations)} violations")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    several: dict[str, str] = {
        "decisions": "decision logs of the sidecars",
        "answers": "what the clients were answered",
        "received": "what the upstream received",
    }
    for name, text in several.items():
        parser.add_argument(f"--{name}", type=Path, nargs="+", required=True, metavar="FILE", help=text)
    parser.add_argument(
        "--archive", type=Path, required=True, metavar="FILE", help="archive of the revision log"
    )
    parser.add_argument("--max-staleness", type=float, required=True, metavar="SECONDS", help="the bound")


def _main(arguments: argparse.Namespace) -> int:
    files = Files(
        decisions=arguments.decisions,
        answers=arguments.answers,
        received=arguments.received,
        archive=arguments.archive,
    )
    return verify(files, arguments.max_staleness)


COMMAND = Command("verify", "check logged decisions against the revision log", _add_arguments, _main)
