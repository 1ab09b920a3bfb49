"""The command line: finds the command, and tells what is wrong with what it was given."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from authz_sidecar import __version__, app
from authz_sidecar.commands import (
    archive,
    check,
    conformance,
    explain,
    readiness,
    replay,
    run,
    schema,
    verify,
)
from authz_sidecar.commands.command import Command
from authz_sidecar.core.errors import ConfigurationError

BAD_CONFIGURATION: Final = 2
COMMANDS: Final = tuple(
    each.COMMAND for each in (run, check, explain, replay, readiness, archive, verify, conformance, schema)
)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 when all went well, 2 when what was given is wrong; 1 is each command's own."""
    arguments = _parser().parse_args(argv)
    command: Command = arguments.command
    try:
        return command.main(arguments)
    except ConfigurationError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return BAD_CONFIGURATION


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="authz-sidecar", description="Authorization proxy with cached policy."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        each = commands.add_parser(command.name, help=command.help)
        command.add_arguments(each)
        each.set_defaults(command=command)
    return parser


def _version() -> str:
    """As `pip` names it, and which of the two ways of installing it this one is."""
    how = "compiled" if app.COMPILED else "as it is written"
    return f"authz-sidecar {__version__} ({how})"
