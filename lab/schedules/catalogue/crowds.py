"""Transactions of more entities than a run takes, and small ones that could overtake them."""

from __future__ import annotations

from lab.schedules.catalogue.rows import DIRECT, FIELDS, GRANT, MEMBER, PERSON
from lab.schedules.catalogue.writers import CROWD, write

write("crowd_leaves", CROWD, f"DELETE FROM {MEMBER} WHERE group_id = 4")
write("crowd_moves", CROWD, f"UPDATE {MEMBER} SET group_id = 1 WHERE group_id = 4")
write(
    "crowd_joins",
    CROWD,
    f"INSERT INTO {MEMBER} (user_id, group_id) SELECT id, 2 FROM accounts_user WHERE id > 100",
)
write("crowd_deactivated", CROWD, "UPDATE accounts_user SET is_active = false WHERE id > 100")
write(
    "crowd_granted",
    CROWD,
    f"INSERT INTO {DIRECT} (user_id, permission_id) SELECT id, 1 FROM accounts_user WHERE id > 100",
)
write(
    "crowd_signed_out",
    CROWD,
    "UPDATE accounts_user SET token_generation = token_generation + 1 WHERE id > 100",
)
write(
    "crowd_for_grants",
    CROWD,
    f"DELETE FROM {MEMBER} WHERE group_id = 4",
    f"INSERT INTO {GRANT} (group_id, permission_id) VALUES (4, 2)",
)
write(
    "crowd_from_group_to_user",
    CROWD,
    f"INSERT INTO {DIRECT} (user_id, permission_id) SELECT user_id, 4 FROM {MEMBER} WHERE group_id = 4",
    f"DELETE FROM {GRANT} WHERE group_id = 4",
)
write(
    "crowd_arrives",
    CROWD,
    *(f"{PERSON} ({key}, 'new{key}', {FIELDS})" for key in (201, 202)),
    PERSON.replace(
        "VALUES", "SELECT id + 200, username || 'new', '', '', '', '', false, true, false, '2026-01-01', 0"
    )
    + " FROM accounts_user WHERE id BETWEEN 101 AND 199",
    f"INSERT INTO {MEMBER} (user_id, group_id) SELECT id, 4 FROM accounts_user WHERE id > 200 AND id < 1000",
)
write("crowd_gains", CROWD, f"INSERT INTO {GRANT} (group_id, permission_id) VALUES (4, 2)")
write("crowd_loses", CROWD, f"DELETE FROM {GRANT} WHERE group_id = 4")
write("one_of_crowd", CROWD, f"INSERT INTO {DIRECT} (user_id, permission_id) VALUES (101, 2)")
