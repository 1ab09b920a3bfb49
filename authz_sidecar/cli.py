"""The command line: run, check, explain, schema, verify."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from authz_sidecar import __version__, app
from authz_sidecar.commands import check, explain
from authz_sidecar.config import configuration, policy_file
from authz_sidecar.config.addresses import items
from authz_sidecar.config.configuration import Sources
from authz_sidecar.config.findings import Kind
from authz_sidecar.config.table import TABLE
from authz_sidecar.core.errors import ConfigurationError, Problem
from authz_sidecar.verify import command as verification

BAD_CONFIGURATION = 2


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 when all went well, 2 when the configuration is wrong."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
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
    run = commands.add_parser("run", help="serve until stopped")
    run.set_defaults(command=_run)
    checked = commands.add_parser("check", help="check settings and policy, and run the policy's tests")
    checked.set_defaults(command=_check)
    for each in (run, checked):
        _add_settings(each)
    _add_check(checked)
    _add_explain(commands.add_parser("explain", help="tell why a request is let through or refused"))
    schema = commands.add_parser("schema", help="print the JSON Schema of the policy file")
    schema.set_defaults(command=_schema)
    _add_verify(commands.add_parser("verify", help="check logged decisions against the revision log"))
    return parser


def _version() -> str:
    """As `pip` names it, and which of the two ways of installing it this one is."""
    how = "compiled" if app.COMPILED else "as it is written"
    return f"authz-sidecar {__version__} ({how})"


def _add_settings(parser: argparse.ArgumentParser) -> None:
    for setting in TABLE:
        default = (
            "required" if setting.required else f"default {setting.default}" if setting.default else "unset"
        )
        parser.add_argument(
            setting.flag,
            dest=setting.variable,
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=f"{setting.help} [{setting.variable}, {default}]".replace("%", "%%"),
        )


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit codes: 0 nothing to complain of, 1 something was found, 2 it would not start."
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument("--policy-only", action="store_true", help="check the policy alone, without settings")
    alone.add_argument("--online", action="store_true", help="ask the User service, too")
    parser.add_argument(
        "--openapi", metavar="FILE|URL", help="tell which operations of the service no rule lets through"
    )
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        type=Kind,
        choices=list(Kind),
        metavar="KIND",
        help=f"findings that are no reason to fail: {', '.join(Kind)}",
    )


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_explain)
    parser.epilog = (
        "With --policy the answer is found here, for the permissions that are given. Else a running "
        "sidecar is asked, with AUTHZ_ADMIN_TOKEN. "
        "Exit codes: 0 let through, 1 refused, 2 it could not be found out."
    )
    parser.add_argument("method", help="of the request, like PATCH")
    parser.add_argument("path", help="of the request, like /students/3/")
    parser.add_argument("--subject", help="the user by whom; without, and without a token: nobody")
    parser.add_argument("--token-stdin", action="store_true", help="by the holder of this access token")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="answer by this policy file, offline")
    parser.add_argument("--permissions", default="", metavar="LABELS", help="what the user holds: a.b,c.d")
    parser.add_argument("--superuser", action="store_true", help="the user is a superuser")
    parser.add_argument("--admin", metavar="URL", help="admin port [where AUTHZ_ADMIN_LISTEN says]")
    parser.add_argument("--json", action="store_true", help="all that is known, for programs")


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_verify)
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


def _run(arguments: argparse.Namespace) -> int:
    return app.run(configuration.read(_sources(arguments)))


def _check(arguments: argparse.Namespace) -> int:
    sources = _sources(arguments)
    read = None if arguments.policy_only else configuration.read(sources)
    file = read.file if read else configuration.policy(sources)
    if file is None:
        raise ConfigurationError([Problem("--policy", "is required: the policy file")])
    asked = check.Asked(
        file,
        read.settings if read else None,
        os.environ,
        frozenset(arguments.accept),
        arguments.online,
        arguments.openapi,
    )
    return check.check(asked)


def _explain(arguments: argparse.Namespace) -> int:
    options = explain.Options(
        method=arguments.method,
        path=arguments.path,
        subject=arguments.subject,
        token_on_stdin=arguments.token_stdin,
        policy=arguments.policy,
        permissions=frozenset(items(arguments.permissions)),
        superuser=arguments.superuser,
        admin=arguments.admin,
        as_json=arguments.json,
    )
    return explain.explain(options, os.environ, sys.stdin.buffer)


def _schema(_arguments: argparse.Namespace) -> int:
    print(json.dumps(policy_file.schema(), indent=2))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    files = verification.Files(
        decisions=arguments.decisions,
        answers=arguments.answers,
        received=arguments.received,
        archive=arguments.archive,
    )
    return verification.verify(files, arguments.max_staleness)


def _sources(arguments: argparse.Namespace) -> Sources:
    flags = {name: value for name, value in vars(arguments).items() if name.startswith("AUTHZ_")}
    return Sources(flags, os.environ)
