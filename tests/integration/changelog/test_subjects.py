"""The log names users by the field that is the subject, whatever happens to it and in whatever order."""

import json
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from accounts import services
from accounts.models import User
from authz_changelog import bootstrap, checks
from authz_changelog.history import lines, selecting
from authz_changelog.models import Change, End, Entity, Mark, Revision
from authz_changelog.revisions import audit, generations, subjects, suspects
from authz_changelog.revisions.errors import SequencingFailed
from authz_changelog.revisions.sequencer import sequence
from authz_changelog.sidecars import grants, service_tokens
from tests.integration.changelog.writers import sql

LABEL = "accounts.add_user"


@pytest.fixture
def named(database: str, settings: Settings) -> str:
    settings.AUTHZ_CHANGELOG = {"SUBJECT": "username", "FORGET_KEY": "a secret"}
    bootstrap.install()
    return database


def permission() -> Permission:
    return Permission.objects.get(codename="add_user")


def living() -> dict[str, dict]:
    """Users by the log."""
    rows = Entity.objects.filter(kind="user", state__isnull=False).values_list("key", "state")
    return {key: json.loads(state) for key, state in rows}


def generation(name: str) -> int:
    return living()[name]["token_generation"]


def newest() -> list[tuple[str, bool]]:
    """The entities of the newest revision, each with whether it exists."""
    entities = json.loads(Revision.objects.latest("revision").entities)
    return sorted((each["key"], each["state"] is not None) for each in entities)


def rename(old: str, new: str) -> None:
    User.objects.filter(username=old).update(username=new)


def swap(one: str, other: str) -> None:
    rename(one, "between")
    rename(other, one)
    rename("between", other)


def test_sidecars_are_told_subjects(named: str) -> None:
    ann = User.objects.create(username="ann")
    ann.user_permissions.add(permission())
    sequence()
    sidecar = Client(headers={"Authorization": f"Bearer {service_tokens.issue('test')}"})
    assert sidecar.get("/authz/v1/subjects/ann").json()["permissions"] == [LABEL]
    assert sidecar.get(f"/authz/v1/subjects/{ann.pk}").status_code == 404
    lines_ = [json.loads(line) for line in sidecar.get("/authz/v1/snapshot").getvalue().splitlines()]
    assert [line["key"] for line in lines_ if line.get("kind") == "user"] == ["ann"]
    question = {"sub": "ann", "permission": LABEL}
    assert sidecar.post("/authz/v1/check", question, content_type="application/json").json()["allowed"]


def test_a_new_subject_is_one_revision_and_the_old_one_is_over(named: str) -> None:
    ann = User.objects.create(username="ann")
    ann.user_permissions.add(permission())
    sequence()
    old = generation("ann")
    rename("ann", "ann.b")
    sequence()
    assert newest() == [("ann", False), ("ann.b", True)]
    assert living()["ann.b"]["permissions"] == [LABEL]
    ann.user_permissions.clear()
    sequence()
    assert newest() == [("ann.b", True)]
    User.objects.create(username="ann")
    sequence()
    assert generation("ann") > old
    told = lines.lines(list(Change.objects.filter(selecting.of_user(str(ann.pk))).order_by("pk")))
    assert [line.split(" by ")[0] for line in told] == [
        "+ user ann",
        f"+ {LABEL} for ann",
        "- user ann",
        "+ user ann.b",
        f"- {LABEL} for ann.b",
    ]
    assert not Change.objects.filter(pending=True).exists()
    assert Change.objects.filter(what="itself", came=False).get().revision is not None


def test_two_users_pass_their_subjects_on(named: str) -> None:
    for name in ("ann", "bob"):
        User.objects.create(username=name)
    User.objects.get(username="ann").user_permissions.add(permission())
    sequence()
    before = {name: generation(name) for name in ("ann", "bob")}
    with transaction.atomic():
        swap("ann", "bob")
    sequence()
    assert newest() == [("ann", True), ("bob", True)]
    assert (living()["ann"]["permissions"], living()["bob"]["permissions"]) == ([], [LABEL])
    assert all(generation(name) > before[name] for name in before)


def test_only_one_of_them_is_taken_first(named: str) -> None:
    """More is pending than a run takes, and it takes the mark of one user of two."""
    User.objects.create(username="ann").user_permissions.add(permission())
    User.objects.create(username="bob")
    sequence()
    with transaction.atomic():
        swap("ann", "bob")
        connection.run_on_commit.clear()
    marks = list(Mark.objects.filter(kind="user", key=str(User.objects.get(username="ann").pk)))
    Mark.objects.filter(pk__in=[mark.pk for mark in marks]).delete()
    sequence()
    Mark.objects.bulk_create(marks)
    sequence()
    assert (living()["ann"]["permissions"], living()["bob"]["permissions"]) == ([], [LABEL])


def test_what_passes_on_without_a_trigger_is_an_end(named: str) -> None:
    User.objects.create(username="ann")
    bob = User.objects.create(username="bob")
    sequence()
    old = generation("ann")
    rename("ann", "gone")
    rename("bob", "ann")
    End.objects.all().delete()
    sequence()
    assert generation("ann") > old
    assert Entity.objects.get(key="ann").owner == str(bob.pk)


def test_letters_are_told_apart(named: str) -> None:
    User.objects.create(username="Ann").user_permissions.add(permission())
    User.objects.create(username="ann")
    sequence()
    assert (living()["Ann"]["permissions"], living()["ann"]["permissions"]) == ([LABEL], [])
    rename("ann", "ANN")
    sequence()
    assert sorted(living()) == ["ANN", "Ann"]
    assert subjects.user("aNN") is None


def test_an_empty_subject_is_nobody(named: str) -> None:
    User.objects.create(username="ann")
    sequence()
    rename("ann", "")
    sequence()
    assert living() == {}


@pytest.mark.parametrize("way", ["another subject", "no row"])
def test_the_audit_finds_what_the_triggers_missed(named: str, way: str) -> None:
    User.objects.create(username="ann")
    User.objects.create(username="bob").user_permissions.add(permission())
    sequence()
    if way == "no row":
        sql("DELETE FROM accounts_user WHERE username = 'ann'")
    else:
        rename("ann", "eve")
    Mark.objects.all().delete()
    log = suspects.logged(suspects.Range(None, None))
    assert [key.kind for key in log] == ["user"]
    assert way == "no row" or "user" in {
        key.kind for key in suspects.existing("user", suspects.Range(None, None))
    }
    before = audit.found()
    call_command("reconcile", verbosity=0)
    assert sorted(living()) == (["bob"] if way == "no row" else ["bob", "eve"])
    assert audit.found() == before


def test_the_setting_is_changed(database: str, settings: Settings) -> None:
    """Everybody gets another name; one who was called as another is now inherits nothing from it."""
    other = User.objects.create(username="ann")
    other.user_permissions.add(permission())
    seven = User.objects.create(username=str(other.pk))
    sequence()
    old = generation(str(other.pk))
    settings.AUTHZ_CHANGELOG = {"SUBJECT": "username"}
    assert [message.id for message in checks.triggers_are_installed(["default"])] == ["authz_changelog.W001"]
    User.objects.filter(pk=other.pk).update(is_superuser=True)
    with pytest.raises(SequencingFailed, match="the log names users by 'pk'"):
        sequence()
    User.objects.filter(pk=other.pk).update(is_superuser=False)
    call_command("migrate", verbosity=0)
    sequence()
    assert sorted(living()) == sorted([str(other.pk), "ann"])
    assert living()[str(other.pk)]["permissions"] == []
    assert generation(str(other.pk)) > old
    settings.AUTHZ_CHANGELOG = {}
    call_command("migrate", verbosity=0)
    sequence()
    assert sorted(living()) == sorted([str(other.pk), str(seven.pk)])
    assert living()[str(other.pk)]["permissions"] == [LABEL]


def test_who_is_forgotten_by_the_subject(named: str) -> None:
    ann = User.objects.create(username="ann")
    sequence()
    old = generation("ann")
    ann.delete()
    User.objects.create(username="bob")
    Revision.objects.filter(pk__lt=sequence().revision).delete()
    call_command("forget_user", "ann", verbosity=0)
    assert not Entity.objects.filter(key="ann").exists()
    assert not End.objects.filter(key="ann").exists()
    assert not Change.objects.filter(name="ann").exists()
    User.objects.create(username="ann")
    sequence()
    assert generation("ann") > old


NAMES = ("a", "A", "1", "2")
ACTS: dict[str, Callable[[int, str], object]] = {
    "create": lambda pk, name: User.objects.bulk_create([User(pk=pk, username=name)], ignore_conflicts=True),
    "rename": lambda pk, name: User.objects.filter(pk=0 if User.objects.filter(username=name) else pk).update(
        username=name
    ),
    "pass on": lambda pk, name: pass_on(pk, name),
    "delete": lambda pk, name: User.objects.filter(pk=pk).delete(),
    "grant": lambda pk, name: [
        user.user_permissions.add(permission()) for user in User.objects.filter(pk=pk)
    ],
    "revoke": lambda pk, name: User.user_permissions.through.objects.filter(user_id=pk).delete(),
    "join": lambda pk, name: [
        user.groups.add(Group.objects.get_or_create(name=name)[0]) for user in User.objects.filter(pk=pk)
    ],
    "disband": lambda pk, name: Group.objects.filter(name=name).delete(),
}


def pass_on(pk: int, name: str) -> None:
    """The user of this key takes that name; who has it is deleted."""
    if User.objects.filter(pk=pk).exists():
        User.objects.filter(username=name).exclude(pk=pk).delete()
        User.objects.filter(pk=pk).update(username=name)


acts = st.tuples(st.sampled_from(sorted(ACTS)), st.integers(1, 3), st.sampled_from(NAMES))
steps = st.tuples(st.lists(acts, min_size=1, max_size=4), st.booleans())


@example([([("create", 1, "a"), ("grant", 1, "a")], True), ([("create", 2, "b"), ("pass on", 2, "a")], True)])
@hypothesis_settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(steps, max_size=6))
def test_the_log_says_of_each_subject_what_its_user_holds(named: str, history: list) -> None:
    generations_seen: dict[str, tuple[str, int]] = {}
    for those, at_once in history:
        with transaction.atomic():
            for act, pk, name in those:
                ACTS[act](pk, name)
            connection.run_on_commit.clear()
        if at_once:
            assert_agrees(generations_seen)
    assert_agrees(generations_seen)


def assert_agrees(seen: dict[str, tuple[str, int]]) -> None:
    """And a subject that is another user's has another generation, a greater one."""
    sequence()
    users = {user.username: user for user in User.objects.all()}
    assert set(living()) == set(users)
    for name, user in users.items():
        held = grants.of(name)
        assert held is not None
        assert grants.decide(held, LABEL, generations.current(user))[0] == user.has_perm(LABEL)
        owner, number = seen.get(name, ("", -1))
        now = (str(user.pk), generations.current(user))
        assert now[1] >= number if owner == now[0] else now[1] > number
        seen[name] = now


def test_sign_out_of_a_subject(named: str) -> None:
    user = User.objects.create(username="ann")
    sequence()
    services.sign_out_everywhere(user=user)
    sequence()
    assert generation("ann") == generations.current(user) == 1
