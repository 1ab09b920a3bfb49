"""Makes the change log ready: begins it on a new database, and puts it back to work after migrations."""

from __future__ import annotations

from typing import Any

from django.db import connection

from authz_changelog.marks import installation
from authz_changelog.revisions.epochs import ensure_epoch
from authz_changelog.revisions.reconcile import reconcile


def install() -> int:
    """Make everything ready; how many triggers had to be created.

    What changed while a trigger was missing left no mark: it is looked for.
    """
    ensure_epoch()
    created = installation.install()
    if created:
        reconcile()
    return created


def before_migrations(plan: list[Any], **_: object) -> None:
    """SQLite refuses to rebuild a table that a trigger of another one names; PostgreSQL minds nothing."""
    if plan and connection.vendor == "sqlite" and installation.tables_exist():
        installation.uninstall()


def after_migrations(using: str, **_: object) -> None:
    if using == connection.alias and installation.tables_exist():
        install()
