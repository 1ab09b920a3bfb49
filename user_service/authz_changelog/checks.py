"""System checks: `manage.py check --database default`."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connection

from authz_changelog import conf
from authz_changelog.marks import installation, watchable


@register(Tags.models)
def users_can_be_watched(**_: object) -> list[CheckMessage]:
    """Errors: `migrate` does not begin with a user model whose changes would be missed."""
    found = watchable.problems(get_user_model(), connection.vendor)
    return [Error(problem.what, hint=problem.mend, id=problem.id) for problem in found]


@register
def settings_are_known(**_: object) -> list[CheckMessage]:
    found = conf.misfits()
    return [Error(misfit.what, hint=misfit.mend, id="authz_changelog.E006") for misfit in found]


@register(Tags.database)
def triggers_are_installed(databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """A warning, not an error: `migrate`, which mends it, would not start with an error."""
    if not databases or connection.alias not in databases or users_can_be_watched():
        return []
    if not installation.tables_exist():
        return []
    tables = sorted({trigger.table for trigger in installation.missing()})
    if not tables:
        return []
    return [
        Warning(
            f"Changes to these tables do not always reach the change log: {', '.join(tables)}.",
            hint="Run `manage.py install_triggers` (or `migrate`): what was missed is then found, too.",
            id="authz_changelog.W001",
        )
    ]
