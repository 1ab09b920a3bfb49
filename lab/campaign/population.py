"""The users, groups and permissions that the campaign plays with."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

USERS = 40
GROUPS = 8

PERMISSIONS = ("add_student", "change_student", "delete_student")
NEW_USER = """
INSERT INTO accounts_user (username, password, first_name, last_name, email, is_superuser, is_staff,
                           is_active, date_joined, token_generation)
VALUES (%s, '!', '', '', '', false, false, true, now(), 0) RETURNING id
"""


@dataclass(frozen=True)
class Population:
    """Ids in the database; `permissions` by codename. Nobody deletes the groups."""

    admin: int
    users: list[int]
    groups: list[int]
    permissions: dict[str, int]


def create(url: str) -> Population:
    """Everybody may do something at first: half of them directly, all through a group."""
    with psycopg.connect(url) as connection:
        permissions = _permissions(connection)
        groups = [_group(connection, f"group-{n}", list(permissions.values())[n % 3]) for n in range(GROUPS)]
        users = []
        for n in range(USERS):
            users.append(_user(connection, f"user-{n}", groups[n % GROUPS]))
        admin = connection.execute("SELECT id FROM accounts_user WHERE username = 'admin'").fetchone()
        if admin is None:
            raise LookupError("the demo's administrator is not there")
    return Population(admin[0], users, groups, permissions)


def reload_users(url: str, population: Population) -> None:
    """The database was replaced: play with the users that it has."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT id FROM accounts_user WHERE username LIKE 'user-%'").fetchall()
    population.users[:] = [user for (user,) in rows]


def _permissions(connection: psycopg.Connection) -> dict[str, int]:
    rows = connection.execute(
        "SELECT codename, id FROM auth_permission WHERE codename = ANY(%s)", [list(PERMISSIONS)]
    )
    return dict(rows.fetchall())


def _group(connection: psycopg.Connection, name: str, permission: int) -> int:
    row = connection.execute("INSERT INTO auth_group (name) VALUES (%s) RETURNING id", [name]).fetchone()
    group = row[0] if row else 0
    connection.execute(
        "INSERT INTO auth_group_permissions (group_id, permission_id) VALUES (%s, %s)", [group, permission]
    )
    return int(group)


def _user(connection: psycopg.Connection, name: str, group: int) -> int:
    row = connection.execute(NEW_USER, [name]).fetchone()
    user = row[0] if row else 0
    connection.execute("INSERT INTO accounts_user_groups (user_id, group_id) VALUES (%s, %s)", [user, group])
    return int(user)
