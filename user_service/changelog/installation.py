"""Puts the change log to work after migrations."""

from __future__ import annotations

from typing import Any

from django.db import connection

from changelog import triggers
from changelog.epochs import ensure_epoch
from changelog.models import Head
from changelog.reconcile import reconcile
from changelog.watched import Watched


def install() -> int:
    """Make everything ready; how many triggers had to be created.

    What changed while a trigger was missing left no mark: it is looked for.
    """
    ensure_epoch()
    created = triggers.install()
    if created:
        reconcile()
    return created


def tables_exist() -> bool:
    """False before the first migrations have run to their end."""
    return {*Watched().tables(), Head._meta.db_table}.issubset(connection.introspection.table_names())


def before_migrations(plan: list[Any], **_: object) -> None:
    """SQLite refuses to rebuild a table that a trigger of another one names; PostgreSQL minds nothing."""
    if plan and connection.vendor == "sqlite" and tables_exist():
        triggers.uninstall()


def after_migrations(using: str, **_: object) -> None:
    if using == connection.alias and tables_exist():
        install()
