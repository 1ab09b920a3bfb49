"""Shows how the change log is: head, pending changes, triggers, proof, audit, relay and sidecars.

Exits with 1 if somebody has to do something about it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from authz_changelog import status
from authz_changelog.status import Status


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object, for monitors")

    def handle(self, **options: Any) -> None:
        found = status.read()
        lines = [json.dumps(found.json())] if options["json"] else list(_lines(found))
        self.stdout.write("\n".join(lines))
        if found.problems:
            sys.exit(1)


def _lines(found: Status) -> Iterator[str]:
    if found.head:
        yield "head      revision {revision} of {at}, epoch {epoch}; kept from revision {oldest}".format(
            **found.head
        )
        yield "pending   {marks} marks".format(**found.pending)
        yield "triggers  {wanted} wanted, {missing} missing".format(**found.triggers)
        yield f"proof     {_proof(found)}"
        yield f"audit     {_audit(found)}"
        yield f"relay     {_relay(found)}"
    for each in found.sidecars:
        yield f"sidecar   {each['name']}, {_use(each)}"
    for problem in found.problems:
        yield f"problem   {problem}"


def _proof(found: Status) -> str:
    if found.proof["broken"]:
        return "nothing is proved"
    return "complete when what was touched is compared" if found.proof["to_compare"] else "complete"


def _audit(found: Status) -> str:
    since = found.audit["audited_at"]
    compared = "not all is compared yet" if since is None else f"all is compared since {since}"
    return f"{compared}; {found.audit['found']} differences found so far"


def _relay(found: Status) -> str:
    seen = found.relay["seen_at"] or "never"
    return f"seen {seen}, published up to revision {found.relay['published']}"


def _use(token: dict[str, str | None]) -> str:
    if token["revoked_at"]:
        return f"revoked {token['revoked_at']}"
    return f"last used {token['last_used_at']}" if token["last_used_at"] else "never used"
