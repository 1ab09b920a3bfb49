"""Labels change while others are given what bears them."""

from __future__ import annotations

from lab.schedules.catalogue.rows import DIRECT, GRANT
from lab.schedules.catalogue.writers import REBIRTH, RENAME, write

NAMED = "INSERT INTO auth_permission (id, name, content_type_id, codename) VALUES"

write("rename", RENAME, "UPDATE auth_permission SET codename = codename || ' anew' WHERE id IN (1, 4)")
write("rename_app", RENAME, "UPDATE django_content_type SET app_label = 'shelves' WHERE id = 2")
write("move_permission", RENAME, "UPDATE auth_permission SET content_type_id = 1 WHERE id = 4")
write(
    "exchange_codes",
    RENAME,
    "UPDATE auth_permission SET codename = 'between' WHERE id = 3",
    "UPDATE auth_permission SET codename = 'lend' WHERE id = 4",
    "UPDATE auth_permission SET codename = 'return' WHERE id = 3",
)
write(
    "delete_permission",
    RENAME,
    f"DELETE FROM {GRANT} WHERE permission_id = 4",
    f"DELETE FROM {DIRECT} WHERE permission_id = 4",
    "DELETE FROM auth_permission WHERE id = 4",
)
write(
    "permission_key",
    RENAME,
    "UPDATE auth_permission SET id = 50 WHERE id = 4",
    f"UPDATE {GRANT} SET permission_id = 50 WHERE permission_id = 4",
    f"UPDATE {DIRECT} SET permission_id = 50 WHERE permission_id = 4",
)
write(
    "content_type_key",
    RENAME,
    "UPDATE django_content_type SET id = 50, model = 'shelf' WHERE id = 2",
    "UPDATE auth_permission SET content_type_id = 50 WHERE content_type_id = 2",
)
write(
    "new_permission",
    RENAME,
    f"{NAMED} (51, 'new', 2, 'new')",
    f"INSERT INTO {DIRECT} (user_id, permission_id) VALUES (1, 51)",
)
write(
    "permission_reborn",
    REBIRTH,
    "DELETE FROM auth_permission WHERE id = 4",
    f"{NAMED} (4, 'other', 1, 'other')",
)
write(
    "take_and_rename",
    RENAME,
    f"DELETE FROM {GRANT} WHERE permission_id = 1 AND group_id = 1",
    "UPDATE auth_permission SET codename = 'peruse' WHERE id = 1",
)
