"""Writers whose triggers could be told not to fire, or to write elsewhere."""

from __future__ import annotations

from lab.schedules.catalogue.rows import DIRECT, GRANT, MEMBER
from lab.schedules.catalogue.writers import POSTGRESQL, SILENT, write
from lab.schedules.product import MARKS

write(
    "replica_role",
    SILENT,
    "SET LOCAL session_replication_role = replica",
    f"DELETE FROM {DIRECT} WHERE user_id = 1",
    f"DELETE FROM {GRANT} WHERE group_id = 1",
    databases=POSTGRESQL,
)
write(
    "replica_for_a_moment",
    SILENT,
    f"DELETE FROM {DIRECT} WHERE user_id = 1",
    "SET LOCAL session_replication_role = replica",
    "UPDATE accounts_user SET is_active = false WHERE id = 3",
    "SET LOCAL session_replication_role = origin",
    f"DELETE FROM {MEMBER} WHERE user_id = 2",
    databases=POSTGRESQL,
)
for table, change in (
    (DIRECT, f"DELETE FROM {DIRECT} WHERE user_id = 1"),
    ("accounts_user", "UPDATE accounts_user SET is_active = false WHERE id = 1"),
    ("auth_permission", "UPDATE auth_permission SET codename = 'peruse' WHERE id = 1"),
):
    write(
        f"disabled_{table.rpartition('_')[2]}",
        SILENT,
        f"ALTER TABLE {table} DISABLE TRIGGER USER",
        change,
        f"ALTER TABLE {table} ENABLE TRIGGER USER",
        databases=POSTGRESQL,
        schema=True,
        unproved=True,
    )
write(
    "temp_marks",
    SILENT,
    f"CREATE TEMP TABLE {MARKS} (LIKE {MARKS} INCLUDING ALL) ON COMMIT DROP",
    f"DELETE FROM {DIRECT} WHERE user_id = 1",
    databases=POSTGRESQL,
)
write(
    "temp_of_our_names",
    SILENT,
    f"CREATE TEMP TABLE {GRANT} (LIKE {GRANT}) ON COMMIT DROP",
    f"CREATE TEMP TABLE {DIRECT} (LIKE {DIRECT}) ON COMMIT DROP",
    "UPDATE auth_permission SET codename = 'peruse' WHERE id = 1",
    "UPDATE django_content_type SET app_label = 'shelves' WHERE id = 2",
    databases=POSTGRESQL,
)
write(
    "other_path",
    SILENT,
    "CREATE SCHEMA elsewhere",
    f"CREATE TABLE elsewhere.{MARKS} (LIKE public.{MARKS} INCLUDING ALL)",
    "SET LOCAL search_path = elsewhere",
    f"DELETE FROM public.{DIRECT} WHERE user_id = 1",
    "UPDATE public.auth_permission SET codename = 'peruse' WHERE id = 1",
    "DROP SCHEMA elsewhere CASCADE",
    databases=POSTGRESQL,
)
write(
    "no_path",
    SILENT,
    "SET LOCAL search_path = ''",
    f"DELETE FROM public.{MEMBER} WHERE user_id = 1",
    "UPDATE public.auth_permission SET codename = 'peruse' WHERE id = 1",
    databases=POSTGRESQL,
)
