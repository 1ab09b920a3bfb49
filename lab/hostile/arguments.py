"""The command line of the hostile clients; it is told without anything installed."""

from __future__ import annotations

import argparse


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/hostile",
        description="Lets hostile clients of many kinds at a sidecar, one kind after the other and all at "
        "once, and measures what it holds and what honest clients notice. Exits with 1 if a bar is missed.",
    )
    parser.add_argument("--connections", type=int, default=1000, help="of each kind (1,000)")
    parser.add_argument(
        "--rate", type=float, default=200, help="connections opened a second, of a kind (200)"
    )
    parser.add_argument("--seconds", type=float, default=3, help="how long all of them then stay (3)")
    parser.add_argument(
        "--only", action="append", metavar="KIND", help="only this one of docs/hostile.md; may be repeated"
    )
    return parser.parse_args()
