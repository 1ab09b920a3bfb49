"""Identities die and are born again."""

from __future__ import annotations

from lab.schedules.catalogue.rows import DIRECT, FIELDS, GRANT, MEMBER, PERSON
from lab.schedules.catalogue.writers import REBIRTH, write

GROUP_ENDS = (
    f"DELETE FROM {MEMBER} WHERE group_id = 1",
    f"DELETE FROM {GRANT} WHERE group_id = 1",
    "DELETE FROM auth_group WHERE id = 1",
)
USER_ENDS = (
    f"DELETE FROM {MEMBER} WHERE user_id = 1",
    f"DELETE FROM {DIRECT} WHERE user_id = 1",
    "DELETE FROM accounts_user WHERE id = 1",
)
GROUP_RETURNS = (
    "INSERT INTO auth_group (id, name) VALUES (1, 'staff again') ON CONFLICT DO NOTHING",
    f"INSERT INTO {GRANT} (group_id, permission_id) VALUES (1, 4) ON CONFLICT DO NOTHING",
)
USER_RETURNS = (
    f"{PERSON} (1, 'ann again', {FIELDS}) ON CONFLICT DO NOTHING",
    f"INSERT INTO {DIRECT} (user_id, permission_id) VALUES (1, 4) ON CONFLICT DO NOTHING",
)
CROWD_ENDS = (
    f"DELETE FROM {MEMBER} WHERE group_id = 4",
    f"DELETE FROM {GRANT} WHERE group_id = 4",
    "DELETE FROM auth_group WHERE id = 4",
)
CROWD_RETURNS = (
    "INSERT INTO auth_group (id, name) VALUES (4, 'crowd again') ON CONFLICT DO NOTHING",
    f"INSERT INTO {GRANT} (group_id, permission_id) VALUES (4, 2) ON CONFLICT DO NOTHING",
)

write("group_ends", REBIRTH, *GROUP_ENDS)
write("group_returns", REBIRTH, *GROUP_RETURNS)
write("group_reborn", REBIRTH, *GROUP_ENDS, *GROUP_RETURNS)
write("user_ends", REBIRTH, *USER_ENDS)
write("user_returns", REBIRTH, *USER_RETURNS)
write("user_reborn", REBIRTH, *USER_ENDS, *USER_RETURNS, ends=("1",))
write("crowd_ends", REBIRTH, *CROWD_ENDS)
write("crowd_returns", REBIRTH, *CROWD_RETURNS)
write("crowd_reborn", REBIRTH, *CROWD_ENDS, *CROWD_RETURNS)
write(
    "back_and_forth",
    REBIRTH,
    "UPDATE accounts_user SET is_active = false WHERE id = 1",
    "UPDATE accounts_user SET is_active = true WHERE id = 1",
    ends=("1",),
)
