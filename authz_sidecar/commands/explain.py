"""`authz-sidecar explain`: why a request is let through or refused, by a policy or a running sidecar.

Exit codes: 0 let through, 1 refused, 2 it could not be found out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from authz_sidecar.admin.explain import question
from authz_sidecar.authz.supposed import Supposed
from authz_sidecar.commands import online, past
from authz_sidecar.commands.command import Command
from authz_sidecar.config import policy_file, policy_model, reading
from authz_sidecar.config.addresses import Address, items
from authz_sidecar.core.entities import Entity, EntityKey
from authz_sidecar.core.errors import ConfigurationError, MalformedMessage, Problem, Refused, Unavailable
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.verdicts import Code, Identity
from authz_sidecar.explain import Explainer, Groups
from authz_sidecar.explained import worded
from authz_sidecar.pipeline import Pipeline
from authz_sidecar.process import SystemClock

MAX_TOKEN: Final = 64 * 1024
SUPPOSED: Final = "somebody"
"""Who is asked about when only permissions are given."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line. With a policy it is answered offline."""

    method: str
    path: str
    host: str | None
    subject: str | None
    user_field: str | None
    token_on_stdin: bool
    policy: Path | None
    permissions: frozenset[str]
    superuser: bool
    archive: Path | None
    at: str | None
    admin: str | None
    as_json: bool


def explain(options: Options, variables: Mapping[str, str], stdin: BinaryIO) -> int:
    """Print it. Returns the exit code. Raises ConfigurationError for what cannot be asked."""
    try:
        if (options.archive and not options.policy) or (options.at and not options.archive):
            raise ValueError("--at goes with --archive, and --archive with --policy")
        found = _offline(options) if options.policy else _online(options, variables, stdin)
    except ValueError as error:
        raise ConfigurationError([Problem("explain", str(error))]) from error
    except (Unavailable, MalformedMessage) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found, indent=2) if options.as_json else "\n".join(worded(found)))
    return 0 if found["allowed"] else 1


# offline


class _NoTokens:
    """Implements `core.ports.Authenticator` where there are no keys to verify with."""

    def authenticate(self, token: bytes, now: float) -> Identity:
        raise Refused(Code.TOKEN_INVALID, "no token can be verified offline")


@dataclass(frozen=True, slots=True)
class _SupposedHoldings:
    """Implements `explain.Holdings`."""

    supposed: Supposed

    def entity(self, key: EntityKey) -> Entity | None:
        return self.supposed.entity(key)

    def user(self, identity: Identity) -> EntityKey | None:
        return self.supposed.user(identity)

    async def groups(self) -> Groups:
        return Groups({}, whole=False)


def _offline(options: Options) -> dict[str, Any]:
    if options.policy is None or options.token_on_stdin or options.admin:
        raise ValueError("with --policy nobody is asked: leave --token-stdin and --admin out")
    if wrong := [label for label in options.permissions if not policy_model.is_label(label)]:
        raise ValueError(f"--permissions: {', '.join(wrong)}: must be labels like students.add_student")
    policy = policy_file.load(options.policy)
    if options.archive:
        return _in_the_past(options, options.archive, policy)
    supposed = Supposed.holding(options.permissions, superuser=options.superuser)
    pipeline = Pipeline(policy, _NoTokens(), supposed, SystemClock())
    anybody = SUPPOSED if options.permissions or options.superuser else None
    asked = question(_given(options, options.subject or anybody))
    explainer = Explainer(lambda: pipeline, _SupposedHoldings(supposed))
    found = asyncio.run(explainer.explain(asked))
    return {**found, "revision": None, "staleness": None}


def _in_the_past(options: Options, archive: Path, policy: Policy) -> dict[str, Any]:
    if options.permissions or options.superuser:
        raise ValueError("with --archive nothing is supposed: leave --permissions and --superuser out")
    then, by = past.at(archive, options.subject, options.at), options.user_field
    pipeline = Pipeline(policy, _NoTokens(), then, SystemClock())
    asked = question(_given(options, options.subject))
    found = asyncio.run(Explainer(lambda: pipeline, then).explain(asked))
    label = found["rule"] and found["rule"]["rule"]
    changed = [
        then.last_change(options.subject, rule.requirement, by)
        for rule in policy.rules
        if rule.label == label and options.subject
    ]
    position = then.state.position
    as_of = {"revision": str(position.token), "as_of": position.at, "staleness": None}
    return {**found, **as_of, "last_change": changed[0] if changed else None}


# online


def _online(options: Options, variables: Mapping[str, str], stdin: BinaryIO) -> dict[str, Any]:
    if options.permissions or options.superuser:
        raise ValueError("--permissions and --superuser are supposed beside a --policy")
    given = _given(options, options.subject)
    if options.token_on_stdin:
        given["token"] = _token(stdin)
    question(given)
    url = options.admin or _admin_url(variables)
    credential = reading.one("AUTHZ_ADMIN_TOKEN", variables)
    if credential is None:
        raise ConfigurationError([Problem("AUTHZ_ADMIN_TOKEN", "is required to ask a running sidecar")])
    return asyncio.run(online.ask(f"{url.rstrip('/')}/explain", credential, given))


def _given(options: Options, subject: str | None) -> dict[str, str]:
    said = {"host": options.host, "subject": subject, "user_field": options.user_field}
    named = {name: value for name, value in said.items() if value is not None}
    return {"method": options.method, "path": options.path, **named}


def _token(stdin: BinaryIO) -> str:
    token = stdin.read(MAX_TOKEN).strip()
    if not token:
        raise ValueError("--token-stdin: nothing came on standard input")
    return token.decode("utf-8", "surrogateescape").removeprefix("Bearer ")


def _admin_url(variables: Mapping[str, str]) -> str:
    listening: Address = reading.one("AUTHZ_ADMIN_LISTEN", variables)[0]
    anywhere = listening.host in {"0.0.0.0", "::"}  # noqa: S104 (it is asked whether it listens there)
    return f"http://{Address('127.0.0.1' if anywhere else listening.host, listening.port)}"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "With --policy the answer is found here, for the permissions that are given. Else a running "
        "sidecar is asked, with AUTHZ_ADMIN_TOKEN. "
        "Exit codes: 0 let through, 1 refused, 2 it could not be found out."
    )
    parser.add_argument("method", help="of the request, like PATCH")
    parser.add_argument("path", help="of the request, like /students/3/")
    parser.add_argument("--host", help="as the request names it in Host, where rules name hosts")
    parser.add_argument("--subject", help="the user by whom; without, and without a token: nobody")
    field = "what of the User service's users --subject names [default: what its log names them by first]"
    parser.add_argument("--user-field", metavar="FIELD", help=field)
    parser.add_argument("--token-stdin", action="store_true", help="by the holder of this access token")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="answer by this policy file, offline")
    parser.add_argument("--permissions", default="", metavar="LABELS", help="what the user holds: a.b,c.d")
    held = "offline, by what the user held as `archive` recorded it"
    parser.add_argument("--archive", type=Path, metavar="PATH", help=held)
    when = "in the past of the archive: at a revision like 3f2a9c1b.1234 or a time [default: its end]"
    parser.add_argument("--at", metavar="REVISION|TIME", help=when)
    parser.add_argument("--superuser", action="store_true", help="the user is a superuser")
    parser.add_argument("--admin", metavar="URL", help="admin port [where AUTHZ_ADMIN_LISTEN says]")
    parser.add_argument("--json", action="store_true", help="all that is known, for programs")


def _main(arguments: argparse.Namespace) -> int:
    options = Options(
        method=arguments.method,
        path=arguments.path,
        host=arguments.host,
        subject=arguments.subject,
        user_field=arguments.user_field,
        token_on_stdin=arguments.token_stdin,
        policy=arguments.policy,
        permissions=frozenset(items(arguments.permissions)),
        superuser=arguments.superuser,
        archive=arguments.archive,
        at=arguments.at,
        admin=arguments.admin,
        as_json=arguments.json,
    )
    return explain(options, os.environ, sys.stdin.buffer)


COMMAND = Command("explain", "tell why a request is let through or refused", _add_arguments, _main)
