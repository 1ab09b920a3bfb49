"""Marks become revisions: atomic, in order, without gaps, and nothing is missed."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from authz_changelog.models import Entity, Head, Mark, Revision
from authz_changelog.revisions import pending, sequencer, states, writing
from authz_changelog.revisions.errors import GaveWay, SequencingFailed
from authz_changelog.revisions.reconcile import reconcile
from authz_changelog.revisions.sequencer import sequence
from authz_changelog.revisions.transactions import sequencing
from lab import DEADLINE

State = dict[str, object] | None
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def entities_of(revision: int) -> dict[str, State]:
    entities = json.loads(Revision.objects.get(pk=revision).entities)
    return {f"{entity['kind']} {entity['key']}": entity["state"] for entity in entities}


def quietly(write: Callable[[], object]) -> None:
    """Write as a program does that knows nothing of the change log: nothing is sequenced."""
    with transaction.atomic():
        write()
        connection.run_on_commit.clear()


@contextmanager
def elsewhere() -> Iterator[Callable[..., object]]:
    """Another thread, with a connection of its own, that does one thing after the other."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        yield lambda act, *args: thread.submit(act, *args).result(timeout=DEADLINE)
        thread.submit(lambda: connections["default"].close()).result(timeout=DEADLINE)


def permission(codename: str) -> Permission:
    return Permission.objects.get(codename=codename)


def test_each_commit_is_sequenced_at_once_and_as_a_whole(database: str) -> None:
    with transaction.atomic():
        user = User.objects.create(username="ann")
        group = Group.objects.create(name="staff")
        user.groups.add(group)
        group.permissions.add(permission("change_student"))
    assert Head.objects.get().revision == 1
    assert entities_of(1) == {
        f"user {user.pk}": {
            "active": True,
            "superuser": False,
            "permissions": [],
            "groups": [str(group.pk)],
            "token_generation": 0,
        },
        f"group {group.pk}": {"permissions": ["students.change_student"]},
    }
    assert Mark.objects.count() == 0


def test_a_revision_tells_when_its_earliest_change_was_written(database: str) -> None:
    quietly(lambda: User.objects.create(username="ann"))
    quietly(lambda: User.objects.create(username="bob"))
    earliest = Mark.objects.earliest("marked_at").marked_at
    revision = Revision.objects.get(pk=sequence().revision)
    assert revision.marked_at == earliest <= revision.at


def test_what_changes_nothing_makes_no_revision(database: str) -> None:
    user = User.objects.create(username="ann")
    before = sequence().revision
    with transaction.atomic():
        user.user_permissions.add(permission("change_student"))
        user.user_permissions.clear()
    assert sequence().revision == before
    assert Mark.objects.count() == 0


def test_deleted_entities_stay_as_tombstones(database: str) -> None:
    user = User.objects.create(username="ann")
    key = str(user.pk)
    user.delete()
    revision = sequence().revision
    assert entities_of(revision) == {f"user {key}": None}
    assert Entity.objects.get(kind="user", key=key).state is None


def test_the_end_of_a_group_is_one_change(database: str) -> None:
    group = Group.objects.create(name="staff")
    key = group.pk
    for name in ("ann", "bob"):
        User.objects.create(username=name).groups.add(group)
    group.delete()
    assert entities_of(sequence().revision) == {f"group {key}": None}
    assert reconcile() == []


def test_a_group_that_comes_back_has_no_members_from_before(database: str) -> None:
    group = Group.objects.create(name="staff")
    user = User.objects.create(username="ann")
    user.groups.add(group)
    key = group.pk
    group.delete()

    again = Group(pk=key, name="other")
    with transaction.atomic():
        again.save(force_insert=True)
        again.permissions.add(permission("delete_student"))

    assert entities_of(sequence().revision) == {
        f"group {key}#2": {"permissions": ["students.delete_student"]}
    }
    user.groups.add(again)
    assert entities_of(sequence().revision)[f"user {user.pk}"]["groups"] == [f"{key}#2"]
    assert reconcile() == []


@only_postgresql
def test_two_administrators_at_once_lose_nothing(database: str) -> None:
    """The first begins first and commits last: its mark has the lower id."""
    user = User.objects.create(username="ann")
    with elsewhere() as other:
        with transaction.atomic():
            user.user_permissions.add(permission("change_student"))
            other(user.user_permissions.add, permission("add_student"))
            other(sequence)
        head = sequence()
    assert entities_of(head.revision - 1)[f"user {user.pk}"]["permissions"] == ["students.add_student"]
    assert entities_of(head.revision)[f"user {user.pk}"]["permissions"] == [
        "students.add_student",
        "students.change_student",
    ]


@only_postgresql
def test_an_import_does_not_delay_a_revocation(database: str) -> None:
    ann, staff = User.objects.create(username="ann", is_superuser=True), Group.objects.create(name="staff")
    quietly(lambda: User.objects.bulk_create(User(username=f"u{n}") for n in range(2500)))

    def revoke() -> None:
        User.objects.filter(pk=ann.pk).update(is_superuser=False)
        staff.permissions.add(permission("view_student"))

    quietly(revoke)
    head = Head.objects.get().revision
    while Head.objects.get().revision == head:  # a run on a busy machine may give way
        assert sequencer.run() is False
    assert entities_of(head + 1).keys() >= {f"user {ann.pk}", f"group {staff.pk}"}
    sequencer.sequence(within=DEADLINE)
    assert reconcile() == []


@only_postgresql
def test_an_import_goes_on_while_others_write(database: str) -> None:
    """However often there is something smaller to be done first."""
    ann = User.objects.create(username="ann")
    quietly(lambda: User.objects.bulk_create(User(username=f"u{n}") for n in range(2500)))
    for number in range(10):
        quietly(lambda number=number: User.objects.filter(pk=ann.pk).update(is_active=number % 2))
        sequencer.run()
        assert f"user {ann.pk}" in entities_of(Head.objects.get().revision)
    assert not Mark.objects.exists()
    assert reconcile() == []


@only_postgresql
def test_a_transaction_that_fits_is_taken_whole_after_smaller_ones(database: str) -> None:
    users = User.objects.bulk_create(User(username=f"u{n}") for n in range(2600))
    before = sequence().revision
    for start, size in ((0, 1000), (1000, 100), (1100, 900), (2000, 100), (2100, 500)):
        keys = [user.pk for user in users[start : start + size]]
        quietly(lambda keys=keys: User.objects.filter(pk__in=keys).update(is_active=False))
    head = sequence().revision
    sizes = [len(entities_of(revision)) for revision in range(before + 1, head + 1)]
    assert sizes == [100 + 100 + 500, 900, 1000]


@only_postgresql
def test_whoever_wrote_little_need_not_wait_for_an_import(database: str) -> None:
    quietly(lambda: User.objects.bulk_create(User(username=f"u{n}") for n in range(2500)))
    before = sequencer.last_mark()
    quietly(lambda: User.objects.create(username="ann"))
    head = sequencer.sequence_since(before, within=DEADLINE)
    assert f"user {User.objects.get(username='ann').pk}" in entities_of(head.revision)
    assert Mark.objects.exists()


def test_marks_made_from_now_on_are_told_by_their_numbers(database: str) -> None:
    """Also when all are sequenced."""
    sequence()
    for name in ("ann", "bob"):
        before = sequencer.last_mark()
        quietly(lambda name=name: User.objects.create(username=name))
        assert [mark.pk for mark in Mark.objects.all()] == [before + 1]
        assert sequencer.sequence_since(before, within=DEADLINE).revision == Head.objects.get().revision
        assert not Mark.objects.exists()


@only_postgresql
def test_only_one_takes_an_import_in(database: str) -> None:
    """Others would not know the whole sooner, only make small changes wait."""
    quietly(lambda: User.objects.bulk_create(User(username=f"u{n}") for n in range(2500)))
    sequencer.refuse_while_busy()
    sequencer.run()
    with pytest.raises(SequencingFailed, match="by another"):
        sequencer.refuse_while_busy()
    sequence()
    sequencer.refuse_while_busy()


@only_postgresql
def test_an_import_holds_up_no_answer_to_another_write(database: str) -> None:
    """It names a revision that contains the write; each commit takes one run, however many writes it has."""
    root = User.objects.create(username="root", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(root)
    quietly(lambda: User.objects.bulk_create(User(username=f"u{n}") for n in range(5000)))
    before = Head.objects.get().revision
    labels = [permission(name).pk for name in ("add_student", "change_student")]
    answer = client.post("/admin/auth/group/add/", {"name": "staff", "permissions": labels})
    head = Head.objects.get()
    assert answer.headers["Authz-Revision"] == head.token
    assert f"group {Group.objects.get(name='staff').pk}" in entities_of(before + 1)
    assert head.revision == before + 1


@only_postgresql
def test_many_marks_of_one_transaction_are_split_only_if_they_are_of_many_entities(database: str) -> None:
    few = Group.objects.bulk_create(Group(name=f"g{n}") for n in range(600))
    head = sequence().revision
    quietly(lambda: User.objects.bulk_create(User(username=f"u{n}") for n in range(2500)))

    def grant_twice() -> None:
        for codename in ("view_student", "add_student", "change_student", "delete_student"):
            permission(codename).group_set.add(*few)

    quietly(grant_twice)
    sequencer.run()
    assert len(entities_of(head + 1)) == 600


def test_a_large_transaction_is_split_into_bounded_revisions(database: str) -> None:
    before = Head.objects.get().revision
    quietly(lambda: User.objects.bulk_create(User(username=f"u{n}") for n in range(2500)))
    head = sequence().revision
    sizes = [len(entities_of(revision)) for revision in range(before + 1, head + 1)]
    assert sum(sizes) == 2500
    assert max(sizes) <= pending.LIMIT
    assert Mark.objects.count() == 0


def test_no_revision_is_larger_than_a_message_may_be(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "LARGEST_SIZE", 1000)
    before = Head.objects.get().revision
    quietly(lambda: User.objects.bulk_create(User(username=f"u{n}") for n in range(30)))
    head = sequence().revision
    texts = [Revision.objects.get(pk=revision).entities for revision in range(before + 1, head + 1)]
    assert sum(len(json.loads(text)) for text in texts) == 30
    assert len(texts) > 1
    assert max(map(len, texts)) < 2000


def test_many_marks_of_few_entities_are_one_revision(database: str) -> None:
    User.objects.bulk_create(User(username=f"u{n}") for n in range(400))
    before = sequence().revision

    def busy() -> None:
        for active in (False, True, False):
            User.objects.update(is_active=active)

    quietly(busy)
    assert Mark.objects.count() == 1200 > pending.LIMIT
    assert sequence().revision == before + 1


def test_states_take_a_constant_number_of_queries(database: str) -> None:
    def queries(count: int) -> int:
        keys = [states.Key(kind, str(key)) for kind in ("user", "group") for key in range(1, count)]
        with CaptureQueriesContext(connection) as captured:
            states.compute(keys)
        return len(captured)

    assert queries(3) == queries(300) <= 6


def test_inside_a_transaction_nothing_is_said(database: str) -> None:
    with transaction.atomic(), pytest.raises(SequencingFailed, match="inside a transaction"):
        sequence()


@only_postgresql
def test_a_write_succeeds_while_sequencing_cannot(database: str, caplog: pytest.LogCaptureFixture) -> None:
    before = Head.objects.get().revision
    with elsewhere() as other:
        hold = other(transaction.Atomic, "default", True, False)
        other(hold.__enter__)
        other(lambda: connection.cursor().execute("LOCK TABLE authz_changelog_head IN EXCLUSIVE MODE"))
        User.objects.create(username="ann")
        with pytest.raises(DatabaseError):
            sequence(within=0.1)
        other(hold.__exit__, None, None, None)
    assert User.objects.filter(username="ann").exists()
    assert sequence().revision == before + 1


@only_postgresql
def test_whoever_freezes_inside_a_run_loses_the_lock_in_time(database: str) -> None:
    """Those who wait for it then go on; the run that was cut off has changed nothing."""
    frozen = sequencing(5)
    with elsewhere() as there:
        there(frozen.__enter__)
        quietly(lambda: User.objects.create(username="ann"))
        assert sequence().revision == 1
        with pytest.raises(GaveWay):
            there(frozen.__exit__, None, None, None)


def test_reconcile_finds_and_mends_what_no_trigger_saw(database: str) -> None:
    user = User.objects.create(username="ann")
    Entity.objects.filter(kind="user", key=user.pk).update(state=None)
    Entity.objects.create(kind="group", key="77", revision=1, slot=0, state='{"permissions":[]}')
    assert reconcile() == [states.Key("group", "77"), states.Key("user", str(user.pk))]
    assert reconcile() == []
    assert Entity.objects.get(kind="group", key="77").state is None


def test_reconcile_does_not_count_what_is_on_its_way(database: str) -> None:
    quietly(lambda: User.objects.create(username="ann"))
    assert reconcile() == []
