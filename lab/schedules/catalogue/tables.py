"""What is not MVCC-safe, and what triggers could stand in the way of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.schedules.catalogue.rows import DIRECT, FIELDS, GRANT, MEMBER, PERSON
from lab.schedules.catalogue.writers import OBSTACLE, POSTGRESQL, REWRITE, code, write

TABLE = {"databases": POSTGRESQL, "exclusive": True, "schema": True}

write(
    "add_column",
    REWRITE,
    "ALTER TABLE accounts_user ADD COLUMN note uuid DEFAULT gen_random_uuid()",
    undo=("ALTER TABLE accounts_user DROP COLUMN IF EXISTS note",),
    **TABLE,
)
write("rewrite_members", REWRITE, f"ALTER TABLE {MEMBER} ALTER id TYPE bigint USING id + 0", **TABLE)
write(
    "rewrite_groups", REWRITE, "ALTER TABLE auth_group ALTER name TYPE varchar(150) USING name || ''", **TABLE
)
write(
    "rewrite_and_revoke",
    REWRITE,
    f"ALTER TABLE {DIRECT} ALTER id TYPE bigint USING id + 0",
    f"DELETE FROM {DIRECT} WHERE user_id = 1",
    **TABLE,
)
write(
    "revoke_and_rewrite",
    REWRITE,
    f"DELETE FROM {GRANT} WHERE group_id = 1",
    "ALTER TABLE auth_permission ALTER name TYPE varchar(255) USING name || ''",
    **TABLE,
)
write(
    "child_then_parent",
    REWRITE,
    f"ALTER TABLE {GRANT} ALTER id TYPE bigint USING id + 0",
    "ALTER TABLE auth_group ALTER name TYPE varchar(150) USING name || ''",
    **TABLE,
)
write("truncate", REWRITE, f"TRUNCATE {MEMBER}", **TABLE)
write("truncate_cascade", REWRITE, "TRUNCATE auth_group CASCADE", **TABLE)
write("truncate_users", REWRITE, "TRUNCATE accounts_user CASCADE", **TABLE)
write(
    "refill",
    REWRITE,
    f"CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM {DIRECT}",
    f"TRUNCATE {DIRECT}",
    f"INSERT INTO {DIRECT} SELECT * FROM kept",
    **TABLE,
)
write(
    "users_truncated_and_reborn",
    REWRITE,
    "TRUNCATE accounts_user CASCADE",
    f"{PERSON} (1, 'ann again', {FIELDS})",
    ends=("1",),
    **TABLE,
)
write("vacuum_full", REWRITE, f"VACUUM FULL {MEMBER}", autocommit=True, **TABLE)
write("cluster", REWRITE, "CLUSTER accounts_user USING accounts_user_pkey", autocommit=True, **TABLE)
write(
    "long_lock",
    REWRITE,
    "LOCK TABLE accounts_user IN ACCESS EXCLUSIVE MODE",
    "UPDATE accounts_user SET is_active = false WHERE id = 1",
    f"DELETE FROM {MEMBER} WHERE user_id = 1",
    **TABLE,
)
write(
    "alter_watched",
    OBSTACLE,
    "ALTER TABLE accounts_user ALTER is_superuser TYPE boolean USING is_superuser AND true",
    **TABLE,
)
write(
    "alter_code",
    OBSTACLE,
    "ALTER TABLE auth_permission ALTER codename TYPE varchar(100) USING codename || ''",
    **TABLE,
)
write(
    "other_column",
    REWRITE,
    "ALTER TABLE accounts_user DROP COLUMN is_superuser",
    "ALTER TABLE accounts_user ADD COLUMN is_superuser boolean NOT NULL DEFAULT false",
    unproved=True,
    **TABLE,
)
write("alter_link", OBSTACLE, f"ALTER TABLE {MEMBER} ALTER user_id TYPE bigint USING user_id + 0", **TABLE)


@code(OBSTACLE, databases=POSTGRESQL, autocommit=True)
def two_phases(execute: Callable[[str], Any]) -> None:
    """A prepared transaction, whose name is its own on the whole server."""
    name = execute("SELECT 'explorer ' || pg_backend_pid()").fetchone()[0]
    execute("BEGIN")
    execute(f"DELETE FROM {DIRECT} WHERE user_id = 1")
    execute(f"PREPARE TRANSACTION '{name}'")
    execute(f"COMMIT PREPARED '{name}'")
