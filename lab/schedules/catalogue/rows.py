"""Rows that come, go and change, by SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.schedules.catalogue.writers import PLAIN, POSTGRESQL, code, write

PERSON = (
    "INSERT INTO accounts_user (id, username, password, first_name, last_name, email, is_staff, is_active,"
    " is_superuser, date_joined, token_generation) VALUES"
)
FIELDS = "'', '', '', '', false, true, false, '2026-01-01', 0"
DIRECT = "accounts_user_user_permissions"
MEMBER = "accounts_user_groups"
GRANT = "auth_group_permissions"

write("grant", PLAIN, f"INSERT INTO {DIRECT} (user_id, permission_id) VALUES (1, 4)")
write("revoke", PLAIN, f"DELETE FROM {DIRECT} WHERE user_id = 1 AND permission_id = 2")
write(
    "grant_again",
    PLAIN,
    f"DELETE FROM {DIRECT} WHERE user_id = 1",
    f"INSERT INTO {DIRECT} (user_id, permission_id) VALUES (1, 2)",
)
write("exchange", PLAIN, f"UPDATE {DIRECT} SET permission_id = 3 WHERE user_id = 1")
write("hand_over", PLAIN, f"UPDATE {DIRECT} SET user_id = 2 WHERE user_id = 3")
write("join", PLAIN, f"INSERT INTO {MEMBER} (user_id, group_id) VALUES (3, 1)")
write("leave", PLAIN, f"DELETE FROM {MEMBER} WHERE user_id = 1 AND group_id = 1")
write("move", PLAIN, f"UPDATE {MEMBER} SET group_id = 2 WHERE user_id = 1 AND group_id = 1")
write("group_grant", PLAIN, f"INSERT INTO {GRANT} (group_id, permission_id) VALUES (1, 4)")
write("group_revoke", PLAIN, f"DELETE FROM {GRANT} WHERE group_id = 1 AND permission_id = 3")
write("group_hand_over", PLAIN, f"UPDATE {GRANT} SET group_id = 3 WHERE group_id = 1")
write("deactivate", PLAIN, "UPDATE accounts_user SET is_active = false WHERE id = 1")
write("activate", PLAIN, "UPDATE accounts_user SET is_active = true WHERE id = 4")
write("sign_out", PLAIN, "UPDATE accounts_user SET token_generation = token_generation + 1 WHERE id = 1")
write("crown", PLAIN, "UPDATE accounts_user SET is_superuser = (id = 2) WHERE id IN (2, 5)")
write("nothing", PLAIN, "UPDATE accounts_user SET is_active = is_active, last_name = 'same'")
write("link_keys", PLAIN, f"UPDATE {MEMBER} SET id = id + 1000", f"UPDATE {DIRECT} SET id = id + 1000")
write(
    "twins",
    PLAIN,
    f"INSERT INTO {DIRECT} (user_id, permission_id) VALUES (2, 2)",
    f"INSERT INTO {GRANT} (group_id, permission_id) VALUES (2, 2)",
)
write(
    "in_return",
    PLAIN,
    f"DELETE FROM {MEMBER} WHERE user_id = 2 AND group_id = 2",
    f"INSERT INTO {DIRECT} (user_id, permission_id) VALUES (3, 1)",
    "UPDATE accounts_user SET is_active = true WHERE id = 4",
)
write(
    "upsert",
    PLAIN,
    f"INSERT INTO {DIRECT} (id, user_id, permission_id) VALUES (1, 3, 4)"
    " ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, permission_id = excluded.permission_id",
)
write(
    "upsert_nothing",
    PLAIN,
    f"INSERT INTO {MEMBER} (user_id, group_id) VALUES (1, 1), (4, 1) ON CONFLICT DO NOTHING",
)
write(
    "hire",
    PLAIN,
    f"{PERSON} (20, 'fay', {FIELDS})",
    f"INSERT INTO {MEMBER} (user_id, group_id) VALUES (20, 1)",
)
write(
    "savepoint_back",
    PLAIN,
    f"INSERT INTO {DIRECT} (user_id, permission_id) VALUES (1, 4)",
    "SAVEPOINT here",
    f"DELETE FROM {MEMBER} WHERE user_id = 1",
    "ROLLBACK TO SAVEPOINT here",
    f"INSERT INTO {MEMBER} (user_id, group_id) VALUES (1, 2)",
)
write(
    "savepoint_kept",
    PLAIN,
    "SAVEPOINT here",
    f"DELETE FROM {MEMBER} WHERE user_id = 1",
    "RELEASE SAVEPOINT here",
    f"DELETE FROM {DIRECT} WHERE user_id = 1",
)
write(
    "user_key",
    PLAIN,
    "UPDATE accounts_user SET id = 50 WHERE id = 1",
    f"UPDATE {MEMBER} SET user_id = 50 WHERE user_id = 1",
    f"UPDATE {DIRECT} SET user_id = 50 WHERE user_id = 1",
)
write(
    "group_key",
    PLAIN,
    "UPDATE auth_group SET id = 50 WHERE id = 1",
    f"UPDATE {MEMBER} SET group_id = 50 WHERE group_id = 1",
    f"UPDATE {GRANT} SET group_id = 50 WHERE group_id = 1",
)
write(
    "exchange_keys",
    PLAIN,
    "UPDATE accounts_user SET id = 50 WHERE id = 1",
    "UPDATE accounts_user SET id = 1 WHERE id = 3",
    "UPDATE accounts_user SET id = 3 WHERE id = 50",
    ends=("1", "3"),
)
write(
    "cte",
    PLAIN,
    f"WITH gone AS (DELETE FROM {DIRECT} WHERE user_id = 1 RETURNING permission_id)"
    f" INSERT INTO {DIRECT} (user_id, permission_id) SELECT 4, permission_id FROM gone",
    databases=POSTGRESQL,
)
write(
    "merge",
    PLAIN,
    f"MERGE INTO {DIRECT} AS has USING (VALUES (1, 2), (2, 4)) AS want (user_id, permission_id)"
    " ON has.user_id = want.user_id AND has.permission_id = want.permission_id WHEN MATCHED THEN DELETE"
    " WHEN NOT MATCHED THEN INSERT (user_id, permission_id) VALUES (want.user_id, want.permission_id)",
    databases=POSTGRESQL,
)
write(
    "row_locks",
    PLAIN,
    "SELECT 1 FROM accounts_user WHERE id IN (1, 3) FOR UPDATE",
    "SELECT 1 FROM auth_group FOR NO KEY UPDATE",
    f"DELETE FROM {MEMBER} WHERE user_id = 1",
    databases=POSTGRESQL,
)
write(
    "table_locks",
    PLAIN,
    f"LOCK TABLE {DIRECT} IN EXCLUSIVE MODE",
    "SELECT pg_advisory_xact_lock(id) FROM accounts_user WHERE id = 1",
    f"DELETE FROM {DIRECT} WHERE user_id = 1",
    databases=POSTGRESQL,
)


@code(PLAIN)
def given_up(execute: Callable[..., Any]) -> None:
    """A transaction that fails after its work."""
    execute(f"DELETE FROM {DIRECT}")
    execute(f"DELETE FROM {MEMBER} WHERE user_id = 1")
    raise GivenUp


class GivenUp(Exception):
    """What the writer itself undoes a transaction with."""


@code(PLAIN, databases=POSTGRESQL)
def copy(execute: Callable[..., Any]) -> None:
    """COPY, as restores and imports do."""
    cursor = execute("SELECT 1 AS before_copy")
    with cursor.copy(f"COPY {MEMBER} (user_id, group_id) FROM STDIN") as rows:
        rows.write_row((3, 1))
        rows.write_row((1, 2))
