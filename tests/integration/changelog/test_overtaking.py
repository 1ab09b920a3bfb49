"""More is pending than one run takes: no part of it shows anybody with what he never held."""

import json
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType

from accounts.models import User
from authz_changelog.models import Entity, Head, Mark, Revision
from authz_changelog.revisions import incarnations, pending, sequencer
from authz_changelog.revisions.reconcile import reconcile
from authz_changelog.revisions.sequencer import sequence
from lab import DEADLINE
from tests.integration.changelog.writers import permission, quietly

CROWD = 60


@pytest.fixture
def crowd(database: str, monkeypatch: pytest.MonkeyPatch) -> Group:
    """A group with more members than a run takes; it holds `view_student`."""
    group = Group.objects.create(pk=7, name="crowd")
    group.permissions.add(permission("view_student"))
    users = User.objects.bulk_create(User(username=f"u{number}") for number in range(CROWD))
    group.user_set.set(users)
    sequence()
    for name, value in (("LIMIT", 20), ("PART", 10), ("PAGE", 10), ("SMALL", 5)):
        monkeypatch.setattr(pending, name, value)
    return group


def holds() -> dict[str, set[str]]:
    """What the log says that each user holds, with his groups."""
    living = {(each.kind, each.key): each.parsed_state for each in Entity.objects.exclude(state=None)}
    return {
        key: set(state["permissions"]).union(
            *(living["group", name]["permissions"] for name in state["groups"] if ("group", name) in living)
        )
        for (kind, key), state in living.items()
        if kind == "user" and state["active"]
    }


def each_run(check: Callable[[], None]) -> None:
    """Run until all is taken."""
    for _ in range(100):
        complete = sequencer.run()
        check()
        if complete:
            return
    raise AssertionError("it does not come to an end")


def test_a_gain_does_not_overtake_a_loss(crowd: Group) -> None:
    """All leave the group, which is a lot; then it is given a permission, which is little."""
    quietly(lambda: crowd.user_set.clear())
    quietly(lambda: crowd.permissions.add(permission("delete_student")))

    def nobody_may_delete() -> None:
        assert not [user for user, held in holds().items() if "students.delete_student" in held]

    each_run(nobody_may_delete)
    assert Entity.objects.get(kind="group").parsed_state["permissions"] == [
        "students.delete_student",
        "students.view_student",
    ]
    assert reconcile() == []


def test_a_loss_overtakes_anything(crowd: Group) -> None:
    quietly(lambda: User.objects.update(token_generation=1))
    quietly(lambda: crowd.permissions.set([permission("delete_student")]))
    sequencer.run()
    assert Entity.objects.get(kind="group").parsed_state["permissions"] == []
    each_run(lambda: None)
    assert Entity.objects.get(kind="group").parsed_state["permissions"] == ["students.delete_student"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_gain_of_others_waits_for_nobody(crowd: Group) -> None:
    staff = Group.objects.create(name="staff")
    ann = User.objects.create(username="ann")
    ann.groups.add(staff)
    sequence()
    quietly(lambda: crowd.user_set.clear())
    before = sequencer.last_mark()
    quietly(lambda: staff.permissions.add(permission("delete_student")))
    sequencer.sequence_since(before, within=DEADLINE)
    assert holds()[str(ann.pk)] == {"students.delete_student"}
    assert Mark.objects.count() == CROWD


def test_a_small_transaction_is_seen_behind_any_number_of_large_ones(crowd: Group) -> None:
    large = range(1, 10 * pending.SMALL)
    marks = [(f"{tx}.{number}", tx) for tx in large for number in range(pending.SMALL + 1)]
    for key, tx in [*marks, ("revoked", large.stop)]:
        Mark.objects.create(kind="user", key=key, tx=tx)
    assert pending._transactions() == ([large.stop], large.start)


def test_whoever_joins_does_not_hold_what_the_group_has_lost(crowd: Group) -> None:
    ann = User.objects.create(username="ann")
    sequence()
    quietly(lambda: User.objects.exclude(pk=ann.pk).update(token_generation=1))
    quietly(lambda: crowd.permissions.clear())
    quietly(lambda: crowd.user_set.add(ann))
    each_run(lambda: _may_nothing(ann))


def _may_nothing(user: User) -> None:
    assert holds()[str(user.pk)] == set()


def test_a_group_that_comes_back_is_another_one(crowd: Group) -> None:
    """Its end and its return are pending together, and its members are more than a run takes."""
    quietly(lambda: crowd.delete())

    def again() -> None:
        Group(pk=7, name="again").save(force_insert=True)
        Group.objects.get(pk=7).permissions.add(permission("delete_student"))

    quietly(again)

    def nobody_may_delete() -> None:
        assert not [user for user, held in holds().items() if "students.delete_student" in held]

    each_run(nobody_may_delete)
    states = dict(Entity.objects.filter(kind="group").values_list("key", "state"))
    assert states["7"] is None
    assert json.loads(states["7#2"]) == {"permissions": ["students.delete_student"]}
    assert reconcile() == []


def test_who_leaves_a_group_that_the_log_does_not_know_yet_has_left_it(crowd: Group) -> None:
    """Its members are logged before what it holds is."""
    members = list(crowd.user_set.all())

    def another() -> None:
        crowd.delete()
        again = Group(pk=7, name="again")
        again.save(force_insert=True)
        again.permissions.add(permission("delete_student"))
        again.user_set.set(members)

    quietly(another)
    while not Entity.objects.filter(kind="user", state__contains='"7#2"').exists():
        sequencer.run()
    assert not Entity.objects.filter(kind="group", key="7#2").exists()
    quietly(lambda: Group.objects.get(pk=7).user_set.clear())

    def nobody_may_delete() -> None:
        assert not [user for user, held in holds().items() if "students.delete_student" in held]

    each_run(nobody_may_delete)
    assert reconcile() == []


def test_a_rename_takes_the_old_label_from_everybody(crowd: Group) -> None:
    """Holders are found when the mark is read, in parts; those who were given it meanwhile are among them."""
    viewing = permission("view_student")
    for user in User.objects.all():
        user.user_permissions.add(viewing)
    sequence(within=DEADLINE)
    before = sequencer.last_mark()
    quietly(lambda: Permission.objects.filter(pk=viewing.pk).update(codename="see_student"))
    assert Mark.objects.count() == 1
    seen: list[set[str]] = []
    each_run(lambda: seen.append(set().union(*holds().values())))
    assert len(seen) > 2
    assert all(held == {"students.see_student"} for held in holds().values())
    assert sequencer.sequence_since(before, within=DEADLINE) == Head.objects.get()
    assert reconcile() == []


def test_whoever_waits_for_a_rename_waits_for_all_of_it(crowd: Group) -> None:
    viewing = permission("view_student")
    for user in User.objects.all():
        user.user_permissions.add(viewing)
    sequence(within=DEADLINE)
    before = sequencer.last_mark()
    quietly(lambda: ContentType.objects.filter(pk=viewing.content_type_id).update(app_label="school"))
    head = sequencer.sequence_since(before, within=DEADLINE)
    assert head.revision == Revision.objects.latest("pk").pk
    assert all(held == {"school.view_student"} for held in holds().values())


@pytest.mark.parametrize("key", ["7", "a#", "a#2", "##", "3#", "#1"])
def test_keys_of_groups_are_told_apart(database: str, key: str) -> None:
    names = []
    for _ in range(3):
        names.append(incarnations.names([key])[key])
        incarnations.end([key])
    assert len(set(names)) == 3
    assert {incarnations.table_key(name) for name in names} == {key}
