"""Our own changes of what users hold beside writers in SQL: they wait for one another, never in a circle."""

import time
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction

from accounts import services
from accounts.models import User
from lab import DEADLINE
from tests.integration.changelog.writers import elsewhere, permission, sql

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def until_somebody_waits() -> None:
    ends = time.monotonic() + DEADLINE
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
            if cursor.fetchone() is not None:
                return
        assert time.monotonic() < ends


def leave(user: User, group: Group) -> None:
    services.group_leave(user=user, group=group)


def revoke(user: User, group: Group) -> None:
    services.permissions_revoke(holder=user, permissions=[permission("view_user")])
    services.permissions_revoke(holder=group, permissions=[permission("view_user")])


TABLES = ("accounts_user_groups", "accounts_user_user_permissions", "auth_group_permissions")


@pytest.mark.parametrize("change", [leave, revoke])
def test_who_writes_a_row_anew_is_no_deadlock(database: str, change: Callable[[User, Group], None]) -> None:
    user, group = User.objects.create(username="alice"), Group.objects.create(name="staff")
    user.groups.add(group)
    user.user_permissions.add(permission("view_user"))
    group.permissions.add(permission("view_user"))
    with elsewhere() as there:
        with transaction.atomic():
            for table in TABLES:
                sql(
                    f"CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM {table}",  # noqa: S608 (ours)
                    f"DELETE FROM {table}",  # noqa: S608 (ours)
                    f"INSERT INTO {table} SELECT * FROM kept",  # noqa: S608 (ours)
                    "DROP TABLE kept",
                )
            changing = there.begins(change, user, group)
            until_somebody_waits()
        changing.result(timeout=DEADLINE)
