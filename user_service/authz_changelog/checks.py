"""System checks: `manage.py check --database default`."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.management import get_commands
from django.db import DEFAULT_DB_ALIAS, connection, router
from django.urls import NoReverseMatch, reverse

from authz_changelog import conf
from authz_changelog.marks import installation, naming
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Mark

HEAD = "/authz/v1/head"
OVERRIDDEN = ("migrate", "remove_stale_contenttypes")
"""Django's commands that the change log takes part in."""


@register(Tags.models)
def users_can_be_watched(**_: object) -> list[CheckMessage]:
    """Errors: `migrate` does not begin with a user model whose changes would be missed, or mistaken."""
    return [Error(problem.what, hint=problem.mend, id=problem.id) for problem in naming.misfits()]


@register
def settings_are_known(**_: object) -> list[CheckMessage]:
    found = conf.misfits()
    return [Error(misfit.what, hint=misfit.mend, id="authz_changelog.E006") for misfit in found]


@register
def all_is_in_one_database(**_: object) -> list[CheckMessage]:
    """A mark is written in the transaction of the change."""
    if users_can_be_watched():
        return []
    watched = Watched()
    models = (watched.user, watched.group, watched.permission, watched.content_type, Mark)
    elsewhere = [model._meta.label for model in models if router.db_for_write(model) != DEFAULT_DB_ALIAS]
    if not elsewhere:
        return []
    return [
        Error(
            f"DATABASE_ROUTERS write {', '.join(elsewhere)} to another database than 'default'.",
            hint="Keep users, groups, permissions and the change log together in 'default'.",
            id="authz_changelog.E007",
        )
    ]


@register
def instants_have_a_zone(**_: object) -> list[CheckMessage]:
    if settings.USE_TZ:
        return []
    return [
        Error(
            "USE_TZ is off.",
            hint="Set USE_TZ = True: revisions are told by instants.",
            id="authz_changelog.E008",
        )
    ]


@register(Tags.urls)
def sidecars_find_their_pages(**_: object) -> list[CheckMessage]:
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    try:
        found = reverse("authz_changelog:head")
    except NoReverseMatch:
        found = "nowhere"
    if found.endswith(HEAD):
        return []
    return [
        Warning(
            f"Sidecars ask {HEAD}; it is {found}.",
            hint='Add path("authz/v1/", include("authz_changelog.urls")) to the urlpatterns of ROOT_URLCONF.',
            id="authz_changelog.W002",
        )
    ]


@register
def commands_are_ours(**_: object) -> list[CheckMessage]:
    taken = [name for name in OVERRIDDEN if get_commands()[name] != "authz_changelog"]
    if not taken:
        return []
    return [
        Warning(
            f"Another app's command is run for {' and '.join(f'`manage.py {name}`' for name in taken)}.",
            hint='Put "authz_changelog" first in INSTALLED_APPS: its `migrate` puts triggers back, its'
            " `remove_stale_contenttypes` keeps the permissions of other services.",
            id="authz_changelog.W003",
        )
    ]


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
