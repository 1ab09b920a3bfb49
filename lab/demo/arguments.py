"""The command line of the demo; it is told without anything installed."""

from __future__ import annotations

import argparse


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="Starts the system, or takes a running one, and walks through it."
    )
    parser.add_argument("--check", action="store_true", help="end after the walk-through: 0 if all was well")
    parser.add_argument("--embedded", action="store_true", help="without Redis and RabbitMQ")
    parser.add_argument(
        "--against",
        nargs=3,
        metavar=("USER_URL", "SIDECAR_URL", "ADMIN_URL"),
        help="walk through a system that runs already, such as that of Compose",
    )
    return parser.parse_args()
