"""The command line of the bench; it is told without anything installed."""

from __future__ import annotations

import argparse

from lab.bench.plan import PARTS, Plan


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measures the sidecar side by side with what people use instead."
    )
    parser.add_argument(
        "--quick", action="store_true", help="seconds instead of minutes; the figures mean little"
    )
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="these parts only")
    parser.add_argument("--peers", nargs="+", default=(), metavar="NAME", help="these proxies only")
    parser.add_argument("--rounds", type=int, default=None, help=f"rounds of the proxies ({Plan.rounds})")
    parser.add_argument("--embedded", action="store_true", help="SQLite, no broker, no Redis")
    parser.add_argument(
        "--revocation", action="store_true", help="how fast a revocation takes effect, instead"
    )
    parser.add_argument(
        "--import", action="store_true", dest="bulk", help="what a large import does to revocations, instead"
    )
    parser.add_argument(
        "--audit", action="store_true", help="what comparing a log of a million users costs, instead"
    )
    parser.add_argument(
        "--workers", action="store_true", help="what several processes and a full log cost, instead"
    )
    parser.add_argument(
        "--handovers", action="store_true", help="what clients notice of newer versions, instead"
    )
    parser.add_argument(
        "--publish", action="store_true", help="write docs/benchmarks.md, its chart and lab/bench/results"
    )
    return parser.parse_args()
