"""Adds the permissions of other services that policy files or arguments name, and shows what is unused.

Without either it lists the permissions of other services, and who many hold each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from authz_changelog.catalogue import declaring, policy_file
from authz_changelog.labels import BadLabel, Label, parse


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("labels", nargs="*", metavar="label", help="like students.add_student")
        parser.add_argument(
            "--policy",
            action="append",
            default=[],
            type=Path,
            metavar="FILE",
            help="a sidecar's policy file; give those of all services, so that what is unused can be told",
        )
        parser.add_argument("--check", action="store_true", help="add nothing; exit with 1 if any is missing")

    def handle(self, *, labels: list[str], policy: list[Path], check: bool, **_: Any) -> None:
        named = _named(labels, policy)
        missing = declaring.missing(named)
        _refuse_own({label: named[label] for label in missing})
        if not check:
            declaring.declare(dict.fromkeys(named, ""))
        for label in missing:
            self.stdout.write(f"{'missing' if check else 'added'}  {label}  ({named[label]})")
        if policy or not labels:
            self._show_others(named, "unused  " if policy else "")
        if named:
            self.stdout.write(f"{len(named)} named, {len(missing)} {'missing' if check else 'added'}.")
        if check and missing:
            raise CommandError("Permissions are missing: the same command without --check adds them.")

    def _show_others(self, named: Collection[Label], heading: str) -> None:
        """The permissions of other services that are not named, with their holders."""
        rows = declaring.of_other_services().select_related("content_type")
        for permission in sorted(rows, key=declaring.label_of):
            label = declaring.label_of(permission)
            if label not in named:
                users, groups = declaring.holders(permission)
                self.stdout.write(f"{heading}{label}  (users: {users}, groups: {groups})")


def _named(labels: list[str], policy: list[Path]) -> dict[Label, str]:
    """Every label, and where it was named first. All mistakes are told at once."""
    named: dict[Label, str] = {}
    problems: list[str] = []
    for path in policy:
        try:
            for each in policy_file.read(path):
                named.setdefault(each.label, each.place)
        except policy_file.Unusable as error:
            problems += error.problems
    for text in labels:
        try:
            named.setdefault(parse(text), "argument")
        except BadLabel as error:
            problems.append(str(error))
    _raise(problems)
    return named


def _refuse_own(missing: Mapping[Label, str]) -> None:
    problems: list[str] = []
    for label, place in missing.items():
        try:
            declaring.refuse_own(label)
        except BadLabel as error:
            problems.append(f"{place}: {error}")
    _raise(problems)


def _raise(problems: list[str]) -> None:
    if problems:
        raise CommandError("\n".join(problems))
