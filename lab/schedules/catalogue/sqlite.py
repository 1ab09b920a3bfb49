"""SQLite's own statements, above all those that remove a row in another's place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.schedules.catalogue.rows import DIRECT, FIELDS, GRANT, MEMBER, PERSON
from lab.schedules.catalogue.writers import PLAIN, REPLACE, SILENT, SQLITE, code, write

ONLY = {"databases": SQLITE}
REPLACING = PERSON.replace("INSERT", "REPLACE")
NO_KEYS = ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON")

write(
    "replace_user",
    REPLACE,
    f"{REPLACING} (1, 'ann', '', '', '', '', false, false, false, '2026-01-01', 0)",
    **ONLY,
)
write("replace_by_name", REPLACE, f"{REPLACING} (60, 'ann', {FIELDS})", outside=NO_KEYS, **ONLY)
write(
    "update_or_replace",
    REPLACE,
    "UPDATE OR REPLACE accounts_user SET username = 'ann' WHERE id = 2",
    outside=NO_KEYS,
    **ONLY,
)
write(
    "replace_group",
    REPLACE,
    "REPLACE INTO auth_group (id, name) VALUES (61, 'staff')",
    outside=NO_KEYS,
    **ONLY,
)
write(
    "replace_link",
    REPLACE,
    f"REPLACE INTO {DIRECT} (id, user_id, permission_id) SELECT id, 4, 1 FROM {DIRECT} WHERE user_id = 1",
    **ONLY,
)
write("replace_link_by_pair", REPLACE, f"REPLACE INTO {MEMBER} (user_id, group_id) VALUES (1, 1)", **ONLY)
write(
    "update_link_or_replace", REPLACE, f"UPDATE OR REPLACE {MEMBER} SET user_id = 3 WHERE user_id = 2", **ONLY
)
write(
    "replace_grant_key",
    REPLACE,
    f"UPDATE OR REPLACE {GRANT} SET id = (SELECT max(id) FROM {GRANT})"
    " WHERE group_id = 1 AND permission_id = 1",
    **ONLY,
)
write(
    "replace_permission",
    REPLACE,
    "REPLACE INTO auth_permission (id, name, content_type_id, codename) VALUES (62, 'read', 1, 'read')",
    outside=NO_KEYS,
    **ONLY,
)
write(
    "replace_permission_key",
    REPLACE,
    "REPLACE INTO auth_permission (id, name, content_type_id, codename) VALUES (4, 'x', 1, 'x')",
    **ONLY,
)
write(
    "replace_content_type",
    REPLACE,
    "UPDATE OR REPLACE django_content_type SET id = 1 WHERE id = 2",
    outside=NO_KEYS,
    **ONLY,
)
write(
    "insert_or_ignore",
    PLAIN,
    f"INSERT OR IGNORE INTO {MEMBER} (user_id, group_id) VALUES (1, 1), (4, 1)",
    **ONLY,
)
write(
    "update_from",
    PLAIN,
    f"UPDATE {DIRECT} SET permission_id = other.id FROM auth_permission AS other"
    f" WHERE other.codename = 'unused' AND {DIRECT}.user_id = 1",
    **ONLY,
)
write("orphans", REPLACE, "DELETE FROM auth_group WHERE id = 1", outside=NO_KEYS, **ONLY)
write("orphaned_permission", REPLACE, "DELETE FROM auth_permission WHERE id = 1", outside=NO_KEYS, **ONLY)


@code(SILENT, databases=SQLITE, outside=NO_KEYS, schema=True, unproved=True)
def rebuilt_table(execute: Callable[..., Any]) -> None:
    """As Django alters a table: what was on it is gone with it."""
    _rebuild(execute)


@code(SILENT, databases=SQLITE, outside=NO_KEYS, schema=True, unproved=True)
def rebuilt_and_changed(execute: Callable[..., Any]) -> None:
    _rebuild(execute)
    execute(f"DELETE FROM {DIRECT} WHERE user_id = 1")


def _rebuild(execute: Callable[..., Any]) -> None:
    definition = execute(f"SELECT sql FROM sqlite_master WHERE name = '{DIRECT}'").fetchone()[0]
    indexes = execute(
        f"SELECT sql FROM sqlite_master WHERE tbl_name = '{DIRECT}' AND type = 'index' AND sql > ''"
    )
    again = [sql for (sql,) in indexes.fetchall()]
    execute(definition.replace(DIRECT, f"new__{DIRECT}", 1))
    execute(f"INSERT INTO new__{DIRECT} SELECT * FROM {DIRECT}")
    execute(f"DROP TABLE {DIRECT}")
    execute(f"ALTER TABLE new__{DIRECT} RENAME TO {DIRECT}")
    for sql in again:
        execute(sql)
