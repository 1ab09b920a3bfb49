"""System checks: `manage.py check --database default`."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import connection

from authz_changelog.marks import installation


@register(Tags.database)
def triggers_are_installed(databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """A warning, not an error: `migrate`, which mends it, would not start with an error."""
    if not databases or connection.alias not in databases or not installation.tables_exist():
        return []
    tables = sorted({trigger.table for trigger in installation.missing()})
    if not tables:
        return []
    return [
        Warning(
            f"Changes to these tables do not reach the change log: {', '.join(tables)}.",
            hint="Run `manage.py install_triggers` (or `migrate`): it also looks for what was missed.",
            id="authz_changelog.W001",
        )
    ]
