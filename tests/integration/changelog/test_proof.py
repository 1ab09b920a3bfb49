"""Where triggers are missing or switched off nothing is proved; what they missed is found afterwards."""

# ruff: noqa: S608 (SQL of the names of our own tables)

import json
from collections.abc import Callable
from io import StringIO

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import OperationalError, connection, migrations, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.test import Client

from accounts.models import User
from authz_changelog.marks import installation, integrity, triggers
from authz_changelog.models import Entity, Fingerprint, Head, Mark, Revision
from authz_changelog.revisions import audit, incarnations, sequencer
from authz_changelog.revisions.errors import NotProved
from authz_changelog.revisions.reconcile import reconcile
from authz_changelog.revisions.revision_token import revision_token
from authz_changelog.revisions.sequencer import sequence
from tests.integration.changelog.writers import permission, quietly, sql

API = "/authz/v1"
DIRECT = "accounts_user_user_permissions"
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def ann(database: str) -> User:
    """She may change students."""
    user = User.objects.create(pk=1, username="ann")
    user.user_permissions.add(permission("change_student"))
    sequence()
    return user


def logged(key: str = "1") -> list[str]:
    return Entity.objects.get(kind="user", key=key).parsed_state["permissions"]


def check() -> str:
    output = StringIO()
    call_command("check", databases=["default"], stderr=output)
    return "".join(line for line in output.getvalue().splitlines() if "these tables" in line)


def uninstall() -> None:
    installation.uninstall()


def switch_off() -> None:
    sql(f"ALTER TABLE {DIRECT} DISABLE TRIGGER USER")


def switch_on_for_some() -> None:
    """As somebody does who does not know that ours always fire."""
    sql(f"ALTER TABLE {DIRECT} DISABLE TRIGGER USER", f"ALTER TABLE {DIRECT} ENABLE TRIGGER USER")


BREAKS = [
    (uninstall, "sqlite"),
    *((each, "postgresql") for each in (uninstall, switch_off, switch_on_for_some)),
]


@pytest.mark.parametrize(("breaks", "database"), BREAKS, indirect=["database"])
def test_without_triggers_nothing_is_proved_until_they_are_back(
    ann: User, sidecar: Client, breaks: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    audit.seen()  # where no relay is, these answers would find and mend it by comparing
    breaks()
    sql(f"DELETE FROM {DIRECT}")
    with pytest.raises(NotProved, match=DIRECT):
        sequence()
    head = Head.objects.get()
    query = {"epoch": head.epoch, "after": head.revision - 1}
    assert not sequencer.advance().proved
    assert revision_token() is None
    assert DIRECT in check()
    for call in ("head", "changes", "snapshot", "subjects/1"):
        answer = sidecar.get(f"{API}/{call}", query)
        assert (answer.status_code, answer.json()["code"]) == (503, "unproved")
        assert "install_triggers" in answer.json()["detail"]
    assert sidecar.get("/readyz").json()["checks"].keys() == {"database", "signing_key"}
    assert sidecar.get("/readyz?proof").json()["checks"]["proof"] is False
    assert sum(DIRECT in record.message for record in caplog.records if record.levelname == "ERROR") == 1

    optional = sidecar.get(f"{API}/changes", {**query, "proof": "optional"})
    assert (optional.status_code, optional.headers["Authz-Head"]) == (200, str(head.revision))
    assert DIRECT in optional.headers["Authz-Unproved"]
    assert json.loads(optional.content)["revision"] == head.revision

    call_command("install_triggers")
    assert check() == ""
    assert logged() == []
    assert sidecar.get("/readyz?proof").json()["checks"]["proof"] is True
    answer = sidecar.get(f"{API}/head", {"proof": "optional"})
    assert "Authz-Unproved" not in answer.headers


def test_a_write_without_triggers_names_no_revision(database: str) -> None:
    root = User.objects.create(username="root", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(root)
    installation.uninstall()
    answer = client.post("/admin/auth/group/add/", {"name": "staff"})
    assert answer.status_code == 302
    assert "Authz-Revision" not in answer.headers


def test_what_is_marked_still_reaches_the_log(ann: User) -> None:
    quietly(lambda: User.objects.filter(pk=1).update(is_active=False))
    installation.uninstall()
    assert not sequencer.run()
    assert not Mark.objects.exists()
    assert Entity.objects.get(kind="user", key="1").parsed_state["active"] is False


def always() -> list[str]:
    """Switch every trigger of ours on the table on again, as `install_triggers` does."""
    names = [trigger.name for trigger in triggers.wanted() if trigger.table == DIRECT]
    return [f'ALTER TABLE {DIRECT} ENABLE ALWAYS TRIGGER "{name}"' for name in names]


UNSEEN: dict[str, Callable[[], list[str]]] = {
    "switched off for a moment": lambda: [
        f"ALTER TABLE {DIRECT} DISABLE TRIGGER USER",
        f"DELETE FROM {DIRECT}",
        *always(),
    ],
    "values changed by ALTER": lambda: [
        f"ALTER TABLE {DIRECT} ALTER permission_id TYPE bigint USING {permission('add_student').pk}"
    ],
}


@only_postgresql
@pytest.mark.parametrize("case", UNSEEN)
def test_what_no_trigger_saw_is_found_by_itself(ann: User, case: str) -> None:
    before = logged()
    with transaction.atomic():
        sql(*UNSEEN[case]())
    assert not Mark.objects.exists()
    sequence()
    assert logged() != before
    assert installation.missing() == []


@only_postgresql
@pytest.mark.parametrize(
    "statement", ["VACUUM FULL accounts_user", "CLUSTER auth_group USING auth_group_pkey"]
)
def test_what_keeps_every_row_needs_no_comparison(ann: User, statement: str) -> None:
    sql(statement)
    assert not integrity.glance().unchanged
    assert sequencer.run()
    assert integrity.glance().unchanged
    assert not Mark.objects.exists()


@only_postgresql
def test_an_upgrade_of_the_server_needs_no_comparison(ann: User) -> None:
    """pg_upgrade makes the triggers anew; its tables keep their identities."""
    (version, *tables) = json.loads(Fingerprint.objects.get().text)
    older = [[*table[:2], "other triggers", *table[3:]] for table in tables]
    Fingerprint.objects.update(text=json.dumps([version - 1, *older]))
    assert integrity.review().changed == []
    Fingerprint.objects.update(text=json.dumps([version, *older]))
    assert len(integrity.review().changed) == len(tables)


def test_the_look_is_one_query(ann: User, django_assert_num_queries: Callable[[int], object]) -> None:
    with django_assert_num_queries(1):
        assert sequencer.run()


# Whatever SQL a writer uses

TRICKS = {
    "as a replica": ["SET LOCAL session_replication_role = replica", f"DELETE FROM {DIRECT}"],
    "with a table of our name": [
        "CREATE TEMP TABLE authz_changelog_mark (LIKE authz_changelog_mark INCLUDING ALL) ON COMMIT DROP",
        f"DELETE FROM {DIRECT}",
    ],
    "on another path": ["SET LOCAL search_path = ''", f"DELETE FROM public.{DIRECT}"],
    "as somebody who may write there only": [
        "CREATE ROLE clerk",
        f"GRANT SELECT, DELETE ON {DIRECT} TO clerk",
        "SET LOCAL ROLE clerk",
        f"DELETE FROM {DIRECT}",
        "RESET ROLE",
        "DROP OWNED BY clerk",
        "DROP ROLE clerk",
    ],
}


@only_postgresql
@pytest.mark.parametrize("trick", TRICKS)
def test_the_log_hears_of_it(ann: User, trick: str) -> None:
    with transaction.atomic():
        sql(*TRICKS[trick])
    sequence()
    assert logged() == []


REPLACED = {
    "user": "REPLACE INTO accounts_user (id, username, password, first_name, last_name, email, is_staff,"
    " is_active, is_superuser, date_joined, token_generation)"
    " VALUES (1, 'ann', '', '', '', '', false, false, false, '2026-01-01', 0)",
    "user's name": "UPDATE OR REPLACE accounts_user SET username = 'ann' WHERE id = 2",
    "group": "REPLACE INTO auth_group (id, name) VALUES (61, 'staff')",
    "link": f"REPLACE INTO {DIRECT} (id, user_id, permission_id) SELECT id, 2, permission_id FROM {DIRECT}",
    "permission": "REPLACE INTO auth_permission (id, name, content_type_id, codename)"
    " SELECT 999, name, content_type_id, codename FROM auth_permission WHERE codename = 'change_student'",
    "content type": "UPDATE OR REPLACE django_content_type SET app_label = 'students', model = 'student'"
    " WHERE app_label = 'auth' AND model = 'group'",
}


@only_sqlite
@pytest.mark.parametrize("case", REPLACED)
def test_a_row_that_is_replaced_leaves_its_mark(ann: User, case: str) -> None:
    User.objects.create(pk=2, username="bob")
    group = Group.objects.create(name="staff")
    group.permissions.add(permission("add_student"))
    ann.groups.add(group)
    sequence()
    sql("PRAGMA foreign_keys = OFF", REPLACED[case], "PRAGMA foreign_keys = ON")
    sequence()
    assert reconcile() == []


@only_sqlite
def test_a_group_that_is_not_replaced_keeps_its_members(ann: User) -> None:
    group = Group.objects.create(pk=7, name="staff")
    group.permissions.add(permission("add_student"))
    ann.groups.add(group)
    sequence()
    Group.objects.bulk_create([Group(pk=7, name="others")], ignore_conflicts=True)
    sequence()
    name = incarnations.names(["7"])["7"]
    assert Entity.objects.get(kind="user", key="1").parsed_state["groups"] == [name]
    assert Entity.objects.get(kind="group", key=name).state is not None


# In nobody's way

MIGRATIONS = [
    "ALTER TABLE accounts_user ALTER is_superuser TYPE boolean USING is_superuser AND true",
    "ALTER TABLE auth_permission ALTER codename TYPE varchar(200) USING codename || ''",
    "ALTER TABLE accounts_user DROP COLUMN token_generation",
    "ALTER TABLE accounts_user RENAME COLUMN id TO key",
]


@only_postgresql
@pytest.mark.parametrize("statement", MIGRATIONS)
def test_a_watched_column_can_be_altered(ann: User, statement: str) -> None:
    sql("UPDATE accounts_user SET is_active = false")  # this session knows the columns as they were
    sql(statement)
    sql("UPDATE accounts_user SET is_active = true", "UPDATE auth_permission SET codename = codename || 'x'")
    assert Mark.objects.filter(kind__in=["user", "all"]).exists()


@only_postgresql
def test_a_transaction_may_be_prepared(database: str) -> None:
    sql("BEGIN", "UPDATE auth_group SET name = name", "INSERT INTO auth_group (name) VALUES ('staff')")
    with pytest.raises(OperationalError, match="max_prepared_transactions"):  # triggers have no objection
        sql("PREPARE TRANSACTION 'two phases'")


def test_a_save_in_a_transaction_of_ones_own_is_legal(ann: User) -> None:
    transaction.set_autocommit(False)
    try:
        Group.objects.create(name="staff")
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    sequence()
    assert Entity.objects.filter(kind="group").count() == 1


class Fails(migrations.Migration):
    operations = (
        migrations.AlterField("user", "email", models.CharField(max_length=99)),
        migrations.RunSQL("SELECT no_such_column"),
    )


def test_a_migration_that_fails_leaves_the_triggers_it_found(
    ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = MigrationLoader.load_disk

    def with_one_more(self: MigrationLoader) -> None:
        load(self)
        migration = Fails("0002_fails", "accounts")
        migration.dependencies = [("accounts", "0001_initial")]
        self.disk_migrations["accounts", "0002_fails"] = migration

    monkeypatch.setattr(MigrationLoader, "load_disk", with_one_more)
    with pytest.raises(Exception, match="no_such_column"):
        call_command("migrate", verbosity=0)
    assert installation.missing() == []
    sequence()
    assert connection.in_atomic_block is False
    assert Revision.objects.count() > 1


def test_an_older_version_finds_no_trigger_that_it_knows_nothing_of(ann: User) -> None:
    """They write to a table that is not there then: every change of a user would fail."""
    try:
        call_command("migrate", "authz_changelog", "0004", verbosity=0)
        User.objects.create(pk=2, username="of an older version")
        call_command("migrate", "sessions", "zero", verbosity=0)
        User.objects.create(pk=3, username="while others migrate")
    finally:
        call_command("migrate", verbosity=0)
    sequence()
    assert set(User.objects.values_list("username", flat=True)) >= {ann.username, "of an older version"}
    assert not installation.missing()
