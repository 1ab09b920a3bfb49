"""Command line of the fault campaign: see docs/faults.md."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.campaign.faults import CATALOGUE, available
from lab.campaign.report import as_json, text
from lab.campaign.run import Plan, run


def main(argv: list[str] | None = None) -> int:
    given = _parser().parse_args(argv)
    sys.setswitchinterval(0.001)  # several event loops share this process: none shall wait for another
    kinds = [kind for kind in available() if not given.only or kind.name in given.only]
    wanted = Plan(given.seed, given.minutes, given.sidecars, given.rate, tuple(kinds))
    with nullcontext(given.keep) if given.keep else TemporaryDirectory(prefix="faults-") as directory:
        Path(directory).mkdir(parents=True, exist_ok=True)
        report = run(wanted, Path(directory), lambda line: print(line, flush=True))
        if given.keep:
            (given.keep / "report.json").write_text(json.dumps(as_json(report), indent=2))
    print(text(report))
    return 1 if report.failures() else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/faults", description="Strike the system, check every decision."
    )
    parser.add_argument("--seed", type=int, default=1, help="which faults, in which order")
    parser.add_argument("--minutes", type=float, default=10, help="how long faults strike")
    parser.add_argument("--sidecars", type=int, default=2, help="how many share one Redis")
    parser.add_argument("--rate", type=float, default=30, help="requests a second")
    parser.add_argument("--only", action="append", metavar="KIND", choices=[kind.name for kind in CATALOGUE])
    parser.add_argument(
        "--keep", type=Path, metavar="DIRECTORY", help="keep the evidence and the report here"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
