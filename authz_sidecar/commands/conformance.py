"""`authz-sidecar conformance URL`: does this User service, in whatever language, keep the wire contract?

Exit codes: 0 it does, 1 it does not, 2 it cannot be asked.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import Final

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar

from authz_sidecar.commands import contract
from authz_sidecar.commands.command import Command
from authz_sidecar.core.errors import ConfigurationError, Problem
from authz_sidecar.process import SystemClock
from authz_sidecar.source import UserServiceClient

TOKEN: Final = "AUTHZ_SERVICE_TOKEN"  # noqa: S105 (the variable's name)
SECONDS: Final = 30.0
"""For each answer."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", help=f"base URL of the User service; its credential is read from {TOKEN}")


def _main(arguments: argparse.Namespace) -> int:
    token = os.environ.get(TOKEN, "")
    if not token:
        raise ConfigurationError([Problem(TOKEN, "required: the credential for /authz/v1/*")])
    return asyncio.run(_ask(arguments.url, token))


async def _ask(url: str, token: str) -> int:
    timeout = ClientTimeout(total=SECONDS)
    async with ClientSession(timeout=timeout, cookie_jar=DummyCookieJar()) as session:
        client = UserServiceClient(session, url, token, SystemClock(), answer_seconds=SECONDS)
        kept = broken = 0
        async for rule, problem in contract.outcomes(contract.Service(session, url, token, client)):
            print(f"BROKEN  {rule}: {problem}" if problem else f"kept    {rule}")
            kept, broken = kept + (not problem), broken + bool(problem)
    left = len(contract.RULES) - kept - broken
    print(f"{kept} rules kept, {broken} broken" + (f", {left} not tried" if left else ""))
    return 0 if kept == len(contract.RULES) else 1


COMMAND = Command("conformance", "try whether a User service keeps the wire contract", _add_arguments, _main)
