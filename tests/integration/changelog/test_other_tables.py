"""Watched tables that change places with others, consist of several, get other columns or other triggers."""

# ruff: noqa: S608 (SQL of the names of our own tables)

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from accounts.models import User
from authz_changelog.marks import installation
from authz_changelog.models import Mark
from authz_changelog.revisions import differences
from authz_changelog.revisions.errors import NotProved
from authz_changelog.revisions.sequencer import sequence
from authz_changelog.revisions.states import Key
from tests.integration.changelog.writers import permission, sql

DIRECT = "accounts_user_user_permissions"
MEMBER = "accounts_user_groups"
COLUMNS = (
    "id, username, password, first_name, last_name, email, is_staff, is_active, is_superuser, date_joined,"
    " token_generation"
)
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def _people(database: str) -> None:
    """Ann is a superuser, holds a permission and is one of the staff; Bob has nothing."""
    ann = User.objects.create(pk=1, username="ann", is_superuser=True)
    User.objects.create(pk=2, username="bob", is_staff=True)
    staff = Group.objects.create(pk=7, name="staff")
    staff.permissions.add(permission("add_student"))
    ann.groups.add(staff)
    ann.user_permissions.add(permission("change_student"))
    sequence()


def missed() -> list[Key]:
    """What the log, which says that it is up to date, says otherwise than the tables."""
    sequence()
    found = differences.find([Key("user", "1"), Key("user", "2"), Key("user", "9"), Key("group", "7")])
    return [difference.key for difference in found]


def exchange() -> None:
    """Another table takes the place of a watched one, as when somebody rebuilds it by hand."""
    if connection.vendor == "postgresql":
        sql(f"CREATE TABLE fresh (LIKE {DIRECT} INCLUDING ALL)")
    else:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sql FROM sqlite_master WHERE name = %s", [DIRECT])
            sql(cursor.fetchone()[0].replace(DIRECT, "fresh", 1))
    sql(
        f"INSERT INTO fresh SELECT * FROM {DIRECT}",
        f"ALTER TABLE {DIRECT} RENAME TO stale",
        f"ALTER TABLE fresh RENAME TO {DIRECT}",
    )


EMPTY = {
    "postgresql": "SELECT format('CREATE OR REPLACE FUNCTION %I() RETURNS trigger LANGUAGE plpgsql"
    " SECURITY DEFINER AS ''BEGIN RETURN NULL; END''', tgname)"
    f" FROM pg_trigger WHERE tgrelid = '{DIRECT}'::regclass AND starts_with(tgname, 'authz_')",
    "sqlite": "SELECT format('DROP TRIGGER %s; CREATE TRIGGER %s AFTER UPDATE ON %s BEGIN SELECT 1; END',"
    f" name, name, tbl_name) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{DIRECT}'",
}


def empty() -> None:
    """Triggers are there, and what they do is not."""
    with connection.cursor() as cursor:
        cursor.execute(EMPTY[connection.vendor])
        for (statements,) in cursor.fetchall():
            sql(*([statements] if connection.vendor == "postgresql" else statements.split("; ", 1)))


@pytest.mark.parametrize("act", [exchange, empty])
def test_nothing_is_proved_until_the_right_triggers_are_on_the_right_table(act: Callable[[], None]) -> None:
    act()
    with pytest.raises(NotProved, match=DIRECT):
        sequence()
    sql(f"DELETE FROM {DIRECT}")
    installation.install()
    assert installation.install() == 0
    assert missed() == []
    sql(f"INSERT INTO {DIRECT} (id, user_id, permission_id) VALUES (5, 2, {permission('add_student').pk})")
    assert Mark.objects.filter(kind="user", key="2").exists()
    installation.uninstall()


@only_sqlite
def test_a_trigger_that_sqlite_has_rewritten_is_not_the_right_one() -> None:
    """It follows a column that is renamed, and not the one that then has its name."""
    sql(
        "ALTER TABLE accounts_user RENAME COLUMN is_superuser TO was",
        "ALTER TABLE accounts_user ADD COLUMN is_superuser boolean NOT NULL DEFAULT false",
    )
    with pytest.raises(NotProved, match="accounts_user"):
        sequence()
    installation.install()
    assert missed() == []


OTHER_COLUMNS = {
    "dropped and added": [
        "ALTER TABLE accounts_user DROP COLUMN is_superuser",
        "ALTER TABLE accounts_user ADD COLUMN is_superuser boolean NOT NULL DEFAULT false",
    ],
    "exchanged": [
        "ALTER TABLE accounts_user RENAME is_superuser TO between",
        "ALTER TABLE accounts_user RENAME is_staff TO is_superuser",
        "ALTER TABLE accounts_user RENAME between TO is_staff",
    ],
    "computed from others": [
        "ALTER TABLE accounts_user DROP COLUMN is_superuser",
        "ALTER TABLE accounts_user ADD COLUMN is_superuser boolean GENERATED ALWAYS AS (is_staff) STORED",
    ],
}


@only_postgresql
@pytest.mark.parametrize("case", OTHER_COLUMNS)
def test_another_column_of_a_watched_name_is_seen(case: str) -> None:
    sql(*OTHER_COLUMNS[case])
    assert missed() == []
    sql("UPDATE accounts_user SET is_staff = NOT is_staff")
    assert missed() == []


@only_postgresql
def test_rows_of_a_table_that_inherits_are_watched_too() -> None:
    sql(
        "CREATE SCHEMA elsewhere",
        f"CREATE TABLE elsewhere.heir (LIKE {MEMBER})",
        "INSERT INTO elsewhere.heir (id, user_id, group_id) VALUES (99, 2, 7)",
        f"ALTER TABLE elsewhere.heir INHERIT {MEMBER}",
    )
    with pytest.raises(NotProved, match=r'"elsewhere"\."heir"'):
        sequence()
    installation.install()
    assert missed() == []
    for statement in ("DELETE FROM elsewhere.heir", "INSERT INTO elsewhere.heir SELECT 98, 2, 7"):
        sql(statement)
        assert missed() == []
    sql(f"ALTER TABLE elsewhere.heir NO INHERIT {MEMBER}")
    assert missed() == []


PARTITIONED = [
    f"CREATE TABLE parts (LIKE {DIRECT}) PARTITION BY RANGE (user_id)",
    "CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (2)",
    f"INSERT INTO parts SELECT * FROM {DIRECT}",
    f"DROP TABLE {DIRECT}",
    f"ALTER TABLE parts RENAME TO {DIRECT}",
    f"CREATE TABLE part2 (LIKE {DIRECT})",
]
PARTS = {
    "comes": [f"ALTER TABLE {DIRECT} ATTACH PARTITION part2 FOR VALUES FROM (2) TO (9)", "DELETE FROM part2"],
    "goes": [f"ALTER TABLE {DIRECT} DETACH PARTITION part1"],
    "is emptied": ["TRUNCATE part1"],
    "is changed": ["DELETE FROM part1"],
}


@only_postgresql
@pytest.mark.parametrize("case", PARTS)
def test_a_partition_that_changes_is_seen(case: str) -> None:
    sql(*PARTITIONED)
    installation.install()
    sql(f"INSERT INTO part2 (id, user_id, permission_id) VALUES (77, 2, {permission('add_student').pk})")
    sequence()
    for statement in PARTS[case]:
        sql(statement)
        assert missed() == []


@only_postgresql
def test_a_trigger_that_is_switched_off_for_a_partition_proves_nothing() -> None:
    sql(*PARTITIONED)
    installation.install()
    sql("ALTER TABLE part1 DISABLE TRIGGER USER", "DELETE FROM part1")
    with pytest.raises(NotProved, match=DIRECT):
        sequence()
    installation.install()
    assert missed() == []
    installation.uninstall()


UNIQUE = {
    "in another collation": "username COLLATE NOCASE",
    "of an expression": '(lower("username")) DESC, is_staff',
    "of two expressions": "upper(replace(username, ',', '''')) /* ) */, (is_staff + 1)",
}


@only_sqlite
@pytest.mark.parametrize("case", UNIQUE)
def test_a_row_that_is_replaced_by_any_unique_key_leaves_its_mark(case: str) -> None:
    sql(f"CREATE UNIQUE INDEX more ON accounts_user ({UNIQUE[case]})")
    installation.install()
    assert missed() == []
    sql(
        "PRAGMA foreign_keys = OFF",
        f"REPLACE INTO accounts_user ({COLUMNS})"
        " VALUES (9, 'ANN', '', '', '', '', false, false, false, '2026-01-01', 0)",
        "PRAGMA foreign_keys = ON",
    )
    assert not User.objects.filter(pk=1).exists()
    assert missed() == []
