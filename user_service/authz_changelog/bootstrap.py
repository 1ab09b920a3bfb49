"""Makes the change log ready: begins it on a new database, and puts it back to work after migrations."""

from __future__ import annotations

import logging

from django.db import connection

from authz_changelog.catalogue import declaring
from authz_changelog.marks import actors, installation
from authz_changelog.models import Head
from authz_changelog.revisions import audit, sequencer, subjects
from authz_changelog.revisions.epochs import ensure_epoch
from authz_changelog.revisions.errors import SequencingFailed

logger = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds in which the log is brought up to date here; after that the relay goes on with it."""


def install() -> int:
    """Make everything ready; how many triggers had to be created.

    What changed while a trigger was missing left no mark: the tables concerned are compared.
    """
    created = _begin()
    catch_up()
    return created


def _begin() -> int:
    ensure_epoch()
    audit.begin()
    created = installation.install()
    subjects.adopt()
    return created


def catch_up() -> None:
    try:
        sequencer.sequence(within=PATIENCE)
    except SequencingFailed as error:
        logger.warning("The change log is behind, it will catch up: %s", error)


def restore() -> None:
    """Put back the triggers that a migration took away with their table, whether it went well or not."""
    if not installation.tables_exist():
        installation.uninstall()  # they would write to a table that an older version does not have
    elif installation.columns_exist() and installation.missing():
        installation.install()


def finish() -> None:
    """Take in what the migrations of all apps have created."""
    if installation.tables_exist() and Head.objects.exists():
        catch_up()


def after_migrations(using: str, **_: object) -> None:
    if using == connection.alias and installation.tables_exist():
        actors.attach(connection)
        _begin()
        declaring.declare_settings()  # in a log that has begun: it is sequenced at once
        catch_up()
