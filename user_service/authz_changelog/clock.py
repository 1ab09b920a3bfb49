"""The one clock of the change log: the database's, so that all its processes agree."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connection


def sql() -> str:
    """The present instant as an SQL expression, in UTC."""
    if connection.vendor == "postgresql":
        return "clock_timestamp()"
    return "strftime('%Y-%m-%d %H:%M:%f', 'now')"


def now() -> datetime:
    """The present instant: microseconds on PostgreSQL, milliseconds on SQLite."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql()}")
        return instant(cursor.fetchone()[0])


def instant(value: datetime | str) -> datetime:
    """What `sql` comes to."""
    read = datetime.fromisoformat(value) if isinstance(value, str) else value
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def rfc3339(instant: datetime) -> str:
    """`2026-11-22T09:00:00.120000Z`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
