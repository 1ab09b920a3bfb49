"""The command line of the demo; it is told without anything installed."""

from __future__ import annotations

import argparse

DESCRIPTION = """\
Starts the system, or takes a running one, and walks through it: refusals, a grant,
a revocation, a deactivated user, an outage, explain and shadow mode. Then it stays up
until Ctrl-C and tells every address worth opening, with a request to copy. All ports
are free ones, all files temporary ones."""
EPILOG = """\
What is missing is set up first: a .venv, and as root Redis and RabbitMQ from Debian's
packages. Where these can be neither found nor installed it runs without: the copy in
memory, changes from the feed.

environment:
  PYTHON              makes the .venv (3.11 or newer) [python3]
  DEMO_REDIS_URL      a Redis to use instead of a private one
  DEMO_AMQP_URL       a RabbitMQ to use instead of a private one
  DEMO_PASSWORD       with --against: the password of the demo's users
  AUTHZ_ADMIN_TOKEN   with --against: the token of the admin port, for explain
  NO_COLOR            print without colours

exit codes: 0 all was as promised, 1 something was not, 130 interrupted"""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
