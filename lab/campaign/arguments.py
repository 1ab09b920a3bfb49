"""The command line of the fault campaign; it is told without anything installed."""

from __future__ import annotations

import argparse
from pathlib import Path


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/faults",
        description="Injects faults into the whole system under load, and judges every decision.",
    )
    parser.add_argument("--seed", type=int, default=1, help="which faults, in which order")
    parser.add_argument("--minutes", type=float, default=10, help="how long faults are injected (10)")
    parser.add_argument("--sidecars", type=int, default=2, help="how many share one Redis (2)")
    parser.add_argument("--workers", type=int, default=2, help="processes of each that serve requests (2)")
    parser.add_argument("--rate", type=float, default=30, help="requests a second (30)")
    parser.add_argument(
        "--only",
        action="append",
        metavar="FAULT",
        help="only this one of docs/faults.md; may be repeated",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIRECTORY", help="keep the evidence and the report here"
    )
    return parser.parse_args()
