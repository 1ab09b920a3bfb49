"""The audit: what the log has missed is found and mended in its time, and each proof tells its age."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from authz_changelog import clock
from authz_changelog.marks import installation
from authz_changelog.models import Entity, Mark, ServiceToken, Slice, Turn
from authz_changelog.publishing.upkeep import Upkeep
from authz_changelog.revisions import audit, suspects
from authz_changelog.revisions.reconcile import reconcile
from authz_changelog.revisions.sequencer import sequence
from authz_changelog.revisions.states import Key
from authz_changelog.revisions.suspects import Range
from tests.integration.changelog.writers import elsewhere

FUTURE = datetime(2100, 1, 1, tzinfo=UTC)
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture
def ann(database: str) -> User:
    """Ann, who is one of the staff."""
    group = Group.objects.create(name="staff")
    group.permissions.add(Permission.objects.get(codename="change_student"))
    user = User.objects.create(username="ann")
    user.groups.add(group)
    sequence()
    return user


def without_marks(write: Callable[[], object]) -> None:
    """Whatever the cause: nothing tells the log of this."""
    with transaction.atomic():
        write()
        Mark.objects.all().delete()
        connection.run_on_commit.clear()


def whole_pass() -> None:
    """Compare everything once from now on."""
    Slice.objects.update(compared_at=audit.NEVER)
    while audit.audited_at(clock.now()) is None:
        Turn.objects.update(due_at=audit.NEVER)
        audit.step()


def logged(kind: str, key: object) -> dict | None:
    state = Entity.objects.get(kind=kind, key=str(key)).state
    return None if state is None else json.loads(state)


LOST = {
    "a change": lambda: User.objects.update(is_active=False),
    "a new user": lambda: User.objects.create(username="bob"),
    "a deleted user": lambda: User.objects.filter(username="ann").delete(),
    "a membership that ended": lambda: User.groups.through.objects.all().delete(),
    "a permission of a user": lambda: User.objects.get().user_permissions.add(Permission.objects.last()),
    "a permission of a group": lambda: Group.objects.get().permissions.clear(),
    "a new group": lambda: Group.objects.create(name="guests"),
    "a group that ended": lambda: Group.objects.all().delete(),
    "a renamed permission": lambda: Permission.objects.filter(codename="change_student").update(codename="x"),
}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_what_was_lost_is_found_named_counted_and_mended(
    ann: User, lost: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    without_marks(lost)
    whole_pass()
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert all(record.getMessage().startswith("The log had missed a change of ") for record in told)
    found = audit.found()
    assert found == len(told) == Mark.objects.count() >= 1
    sequence()
    assert reconcile() == []
    whole_pass()
    assert audit.found() == found


@pytest.mark.parametrize("lost", ["a permission of a group", "a group that ended", "a membership that ended"])
def test_what_a_group_that_came_back_has_lost_is_mended(ann: User, lost: str) -> None:
    staff = Group.objects.get().pk
    Group.objects.all().delete()
    group = Group.objects.create(pk=staff, name="staff")
    group.permissions.add(Permission.objects.get(codename="change_student"))
    ann.groups.add(group)
    sequence()
    assert logged("user", ann.pk)["groups"] == [f"{staff}#2"]
    without_marks(LOST[lost])
    whole_pass()
    assert audit.found() >= 1
    sequence()
    assert reconcile() == []


def test_what_is_marked_is_not_lost(ann: User) -> None:
    with transaction.atomic():
        User.objects.update(is_active=False)
        connection.run_on_commit.clear()
    whole_pass()
    assert (audit.found(), Mark.objects.count()) == (0, 1)


def test_while_a_mark_of_another_may_be_the_reason_nothing_is_said(ann: User) -> None:
    """A group's end takes its members along; whose mark is on its way explains theirs."""
    without_marks(lambda: User.objects.update(is_active=False))
    Mark.objects.create(kind="group", key="77")
    Slice.objects.update(compared_at=audit.NEVER)
    for _ in range(5):
        Turn.objects.update(due_at=audit.NEVER)
        audit.step()
    assert audit.found() == 0
    assert audit.audited_at(clock.now()) is None
    sequence()
    whole_pass()
    assert audit.found() == 1


def bypass_as_a_replica() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE accounts_user SET is_active = false")
        cursor.execute("RESET session_replication_role")


def bypass_disabled_triggers() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_user DISABLE TRIGGER USER")
        cursor.execute("UPDATE accounts_user SET is_active = false")
        cursor.execute("ALTER TABLE accounts_user ENABLE TRIGGER USER")
    installation.install()  # they must fire always


def bypass_dropped_triggers() -> None:
    installation.uninstall()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_user SET is_active = false")
    installation.install()


BYPASSES = [
    pytest.param("postgresql", bypass_as_a_replica, id="as a replica"),
    pytest.param("postgresql", bypass_disabled_triggers, id="disabled and enabled"),
    pytest.param("postgresql", bypass_dropped_triggers, id="dropped and made again"),
    pytest.param("sqlite", bypass_dropped_triggers, id="dropped and made again, SQLite"),
]


@pytest.mark.parametrize(("database", "bypass"), BYPASSES, indirect=["database"])
def test_what_is_done_past_the_triggers_is_in_force_after_a_pass(
    ann: User, bypass: Callable[[], None]
) -> None:
    bypass()
    whole_pass()
    sequence()
    assert logged("user", ann.pk)["active"] is False


def chain(section: str) -> list[tuple[str | None, str | None]]:
    """The slices of a section from end to end."""
    slices = {each.after: each.until for each in Slice.objects.filter(section=section)}
    found: list[tuple[str | None, str | None]] = [(None, slices.pop(None))]
    while (after := found[-1][1]) is not None:
        found.append((after, slices.pop(after)))
    assert slices == {}, "slices that nothing leads to"
    return found


def test_slices_cover_everything_whatever_comes_and_goes(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(audit.ROWS, connection.vendor, dict.fromkeys(audit.SECTIONS, 3))
    users = [User.objects.create(username=f"user {number}") for number in range(10)]
    sequence()
    sizes = []
    for change in (
        lambda: None,
        lambda: [user.delete() for user in users[2:9]],
        lambda: User.objects.bulk_create(User(username=f"new {number}") for number in range(7)),
        lambda: User.objects.all().delete(),
    ):
        change()
        sequence()
        whole_pass()
        whole_pass()
        sizes.append([len(chain(section)) for section in audit.SECTIONS])
        missed = User.objects.create(username="missed").pk
        sequence()
        without_marks(lambda: User.objects.filter(username="missed").delete())
        whole_pass()
        assert logged("user", missed) is not None
        sequence()
        assert logged("user", missed) is None
    assert sizes[0][0] > sizes[1][0] < sizes[2][0] > sizes[3][0] == 1


def test_a_slice_that_somebody_removed_is_covered_all_the_same(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(audit.ROWS, connection.vendor, dict.fromkeys(audit.SECTIONS, 3))
    users = [User.objects.create(username=f"user {number}") for number in range(10)]
    sequence()
    whole_pass()
    Slice.objects.filter(section="user", after=str(users[2].pk)).delete()
    audit.begin()
    without_marks(lambda: User.objects.filter(pk=users[4].pk).update(is_active=False))
    whole_pass()
    assert audit.found() == 1
    sequence()
    Slice.objects.filter(section="user", after=None).delete()
    audit.begin()
    without_marks(lambda: User.objects.filter(pk=users[0].pk).update(is_active=False))
    whole_pass()
    assert audit.found() == 2


def test_the_age_is_that_of_the_oldest_slice(ann: User) -> None:
    before = clock.now()
    whole_pass()
    assert before <= audit.audited_at(clock.now()) <= clock.now()
    oldest = before - timedelta(seconds=100)
    Slice.objects.filter(section="group").update(compared_at=oldest)
    assert audit.audited_at(clock.now()) == oldest


def test_a_clock_that_was_set_back_makes_comparisons_void(ann: User) -> None:
    whole_pass()
    Slice.objects.filter(section="user").update(compared_at=FUTURE)
    Turn.objects.update(due_at=FUTURE)
    assert audit.audited_at(clock.now()) is None
    for _ in audit.SECTIONS:
        audit.step()
    assert audit.audited_at(clock.now()) is not None


def test_a_new_database_is_audited_at_once(database: str) -> None:
    assert audit.audited_at(clock.now()) is None
    steps = 0
    while audit.step() == 0.0:
        steps += 1
    assert steps < 10
    assert audit.audited_at(clock.now()) is not None


def test_steps_are_spread_over_the_time_of_a_pass(ann: User, settings: Settings) -> None:
    settings.AUTHZ_CHANGELOG = {"AUDIT_SECONDS": 3000}
    whole_pass()
    due = Turn.objects.get().due_at - clock.now()
    assert 0.8 * 3000 / 3 < due.total_seconds() < 3000 / 3
    assert audit.step() > 0.8 * 3000 / 3
    Slice.objects.filter(section="log").update(compared_at=clock.now() - timedelta(seconds=3001))
    Turn.objects.update(due_at=audit.NEVER)
    assert audit.step() > 0.0  # what was overdue is done


def test_two_never_take_one_step(ann: User) -> None:
    Turn.objects.update(due_at=audit.NEVER)
    now = clock.now()
    assert audit._claim(now)
    assert not audit._claim(now)
    assert audit._claim(now + audit.LEASE)


@pytest.mark.parametrize("call", ["head", "changes"])
def test_without_a_relay_each_answer_does_a_step(ann: User, sidecar: Client, call: str) -> None:
    epoch = sidecar.get("/authz/v1/head").json()["epoch"]
    audit.seen()
    Slice.objects.update(compared_at=audit.NEVER)
    Turn.objects.update(due_at=audit.NEVER)
    query = {"epoch": epoch, "after": 0} if call == "changes" else {}
    without_marks(lambda: User.objects.update(is_active=False))

    def answers(count: int) -> None:
        for _ in range(count):
            assert sidecar.get(f"/authz/v1/{call}", query).status_code == 200

    answers(5)
    assert logged("user", ann.pk)["active"] is True  # a relay was seen just now
    Turn.objects.update(relay_at=clock.now() - audit.RELAY_SILENCE)
    answers(5)
    assert logged("user", ann.pk)["active"] is False
    head = sidecar.get("/authz/v1/head").json()
    assert (head["audit_found"], head["audited_at"] is None) == (1, False)


def test_an_answer_tells_no_audit_whose_findings_it_lacks(ann: User, sidecar: Client) -> None:
    """The instant is read before the log is brought up to date: what was found by then is in the head."""
    Turn.objects.update(relay_at=None)
    Slice.objects.update(compared_at=audit.NEVER)
    without_marks(lambda: User.objects.update(is_active=False))
    told = None
    while told is None:
        Turn.objects.update(due_at=audit.NEVER)
        answer = sidecar.get("/authz/v1/head").json()
        told = answer["audited_at"]
    assert logged("user", ann.pk)["active"] is False
    assert Entity.objects.get(kind="user", key=str(ann.pk)).revision <= answer["revision"]


def test_the_audit_never_keeps_anybody_from_an_answer(
    ann: User, sidecar: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise audit.GaveWay("not now")

    monkeypatch.setattr(audit, "_extent", fails)
    Turn.objects.update(due_at=audit.NEVER)
    assert sidecar.get("/authz/v1/head").status_code == 200
    assert Turn.objects.get().due_at > clock.now()  # it is tried again, but not at once


def test_upkeep_audits_and_shows_that_it_is_there(ann: User) -> None:
    without_marks(lambda: User.objects.update(is_active=False))
    upkeep = Upkeep()
    while upkeep.step() == 0.0:
        pass
    assert audit.found() == 1
    assert clock.now() - Turn.objects.get().relay_at < audit.RELAY_SILENCE


@only_postgresql
def test_the_database_writes_states_as_python_does(database: str) -> None:
    """Where they part, everything would be suspected in each pass."""
    kinds = [ContentType.objects.create(app_label="app", model=name) for name in ("one", "two")]
    codes = [
        "plain",
        "Z",
        "a",
        "_",
        'quo"te',
        "back\\slash",
        "new\nline",
        "\x01",
        "\x7f",
        "ä",
        "日本",
        "😀",
        "a.b",
        "",
    ]
    labels = [Permission.objects.create(content_type=kinds[0], codename=code, name=code) for code in codes]
    labels.append(Permission.objects.create(content_type=kinds[1], codename="plain", name="the same label"))
    Group.objects.create(pk=10, name="10").delete()  # the second one of this key is called otherwise
    groups = [Group.objects.create(pk=pk, name=str(pk)) for pk in (2, 10, 9, 100)]
    for number, group in enumerate(groups):
        group.permissions.set(labels[number:])
    users = [User.objects.create(username=str(number)) for number in range(4)]
    users[1].groups.set(groups)
    users[2].user_permissions.set(labels)
    User.objects.filter(pk=users[3].pk).update(is_active=False, is_superuser=True, token_generation=7)
    sequence()
    with transaction.atomic():
        assert suspects.existing("user", Range(None, None)) == []
        assert suspects.existing("group", Range(None, None)) == []
        assert suspects.existing("user", Range(str(users[0].pk), str(users[2].pk))) == []
    Entity.objects.filter(kind="group", key="9").update(state="{}")
    Entity.objects.filter(kind="user", key=str(users[1].pk)).delete()
    with transaction.atomic():
        assert suspects.existing("user", Range(None, None)) == [("user", str(users[1].pk))]
        assert suspects.existing("group", Range("2", "9")) == [("group", "9")]
        assert suspects.existing("group", Range("9", None)) == []


def test_migrating_once_more_begins_nothing_anew(ann: User) -> None:
    whole_pass()
    then = audit.audited_at(clock.now())
    call_command("migrate", verbosity=0)
    assert audit.audited_at(clock.now()) == then


@only_postgresql
def test_who_holds_its_rows_keeps_neither_sidecars_nor_the_relay_waiting(
    ann: User, sidecar: Client, database: str
) -> None:
    Turn.objects.update(due_at=audit.NEVER)
    with psycopg.connect(database) as other, elsewhere() as there:
        for model in (Turn, Slice, ServiceToken):
            other.execute(f"SELECT 1 FROM {model._meta.db_table} FOR UPDATE")  # noqa: S608 (our own tables)
        try:
            assert getattr(there(sidecar.get, "/authz/v1/head"), "status_code", None) == 200
            assert 0 <= there(Upkeep().step) <= audit.AGAIN.total_seconds()
        finally:
            other.rollback()
    whole_pass()


@pytest.mark.parametrize("key", ["x", "9" * 30, "0" * 20, "-1", "", "12345678-1234-1234-1234-123456789abc"])
def test_who_is_only_in_the_log_is_suspected_whatever_it_calls_him(ann: User, key: str) -> None:
    sequence()
    Entity.objects.create(kind="user", key=key, revision=1, slot=0, state="{}")
    assert suspects.logged(Range(None, None)) == [Key("user", key)]
