"""Tables of the User service that change without leaving a mark, or that somebody rewrites."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import psycopg
from psycopg import sql

from lab.campaign.system import System

TABLES = ("accounts_user", "accounts_user_groups", "accounts_user_user_permissions", "auth_group_permissions")
UNLIKE = """
SELECT accounts_user.id FROM accounts_user
LEFT JOIN authz_changelog_entity ON kind = 'user' AND key = accounts_user.id::text
WHERE (state::jsonb -> 'active', state::jsonb -> 'superuser', state::jsonb -> 'permissions')
  IS DISTINCT FROM (to_jsonb(is_active), to_jsonb(is_superuser), (
    SELECT coalesce(jsonb_agg(label ORDER BY label COLLATE "C"), '[]')
    FROM accounts_user_user_permissions JOIN auth_permission ON auth_permission.id = permission_id
    JOIN django_content_type ON django_content_type.id = content_type_id
    CROSS JOIN LATERAL (SELECT app_label || '.' || codename AS label) AS labels
    WHERE user_id = accounts_user.id))
"""
"""Users of whom the log says something else than the tables: what it says of them directly."""
OURS = "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal"


@contextmanager
def triggers_gone(system: System, random: Random) -> Iterator[str]:
    """Changes leave no mark, and nothing may be proved, until somebody installs the triggers again."""
    table = random.choice(TABLES)
    with psycopg.connect(system.database_url) as connection:
        names = [name for (name,) in connection.execute(OURS, [table]).fetchall()]
        for name in names:
            connection.execute(
                sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(name), sql.Identifier(table))
            )
    yield f"{len(names)} of {table}"
    system.user_service.manage("install_triggers")


@contextmanager
def triggers_off(system: System, random: Random) -> Iterator[str]:
    table = random.choice(TABLES)
    _alter(system, table, "DISABLE TRIGGER USER")
    yield table
    system.user_service.manage("install_triggers")


@contextmanager
def rewritten(system: System, random: Random) -> Iterator[str]:
    """A migration adds a column whose default differs from row to row, then takes it back."""
    table = random.choice(TABLES)
    _alter(system, table, "ADD COLUMN campaign double precision DEFAULT random()")
    yield table
    _alter(system, table, "DROP COLUMN campaign")


@contextmanager
def unmarked(system: System, random: Random) -> Iterator[str]:
    """Somebody changes a user and deletes the marks: only a comparison of tables and log can tell."""
    user = random.choice(system.population.users)
    with psycopg.connect(system.database_url) as connection:
        connection.execute("UPDATE accounts_user SET is_active = NOT is_active WHERE id = %s", [user])
        connection.execute("DELETE FROM authz_changelog_mark WHERE tx = txid_current()")
    yield f"user {user}"


def _alter(system: System, table: str, action: str) -> None:
    with psycopg.connect(system.database_url) as connection:
        statement = sql.SQL("ALTER TABLE {} ").format(sql.Identifier(table)) + sql.SQL(action)
        connection.execute(statement)


def unlike_the_log(url: str) -> list[str]:
    """The ids of the users of whom the log does not say what the tables say now."""
    with psycopg.connect(url) as connection:
        return [str(user) for (user,) in connection.execute(UNLIKE).fetchall()]
