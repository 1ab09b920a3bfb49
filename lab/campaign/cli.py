"""Runs the campaign that was asked for, and tells what it found: docs/faults.md."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.campaign.catalogue import available
from lab.campaign.report import as_json, text
from lab.campaign.run import Plan, run
from lab.stack.signals import exit_on_sigterm


def main(given: argparse.Namespace) -> int:
    """The exit code: 0 when nothing was wrong, 1 when something was, 2 when that cannot be asked for."""
    known = {fault.name: fault for fault in available(given.workers)}
    if unknown := set(given.only or ()) - set(known):
        print(f"error: not among {', '.join(known)}: {', '.join(unknown)}", file=sys.stderr)
        return 2
    exit_on_sigterm()
    sys.setswitchinterval(0.001)  # several event loops share this process: none shall wait for another
    faults = tuple(known[name] for name in given.only or known)
    wanted = Plan(given.seed, given.minutes, given.sidecars, given.workers, given.rate, faults)
    with nullcontext(given.keep) if given.keep else TemporaryDirectory(prefix="faults-") as directory:
        Path(directory).mkdir(parents=True, exist_ok=True)
        report = run(wanted, Path(directory), lambda line: print(line, flush=True))
        if given.keep:
            (given.keep / "report.json").write_text(json.dumps(as_json(report), indent=2))
    print(text(report))
    return 1 if report.failures() else 0
