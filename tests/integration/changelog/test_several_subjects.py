"""The log names each user by several fields, and never takes what one says for what another does."""

import json

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from accounts import services
from accounts.models import User
from authz_changelog import bootstrap
from authz_changelog.history import lines, selecting
from authz_changelog.marks import naming
from authz_changelog.marks.watched import SEPARATOR, Subject
from authz_changelog.models import Change, End, Entity, Head, Mark, Revision
from authz_changelog.revisions import audit, forgetting, generations, suspects
from authz_changelog.revisions.errors import SequencingFailed
from authz_changelog.revisions.sequencer import sequence
from authz_changelog.sidecars import grants, service_tokens
from tests.integration.changelog.test_subjects import (
    ACTS,
    LABEL,
    generation,
    living,
    newest,
    permission,
    rename,
    steps,
    swap,
)
from tests.integration.changelog.writers import sql

EVERYTHING = suspects.Range(None, None)


@pytest.fixture
def named(database: str, settings: Settings) -> str:
    settings.AUTHZ_CHANGELOG = {"SUBJECT": ["pk", "username"], "FORGET_KEY": "a secret"}
    bootstrap.install()
    return database


def by_name(name: str) -> str:
    return f"username{SEPARATOR}{name}"


def test_both_are_one_user(named: str) -> None:
    ann = User.objects.create(username="ann")
    ann.user_permissions.add(permission())
    sequence()
    assert living()[str(ann.pk)] == living()[by_name("ann")]
    assert living()[by_name("ann")]["permissions"] == [LABEL]
    ann.user_permissions.clear()
    sequence()
    assert newest() == sorted([(str(ann.pk), True), (by_name("ann"), True)])


def test_sidecars_are_told_the_fields_if_they_know_them(named: str) -> None:
    ann = User.objects.create(username="ann")
    sequence()
    token = service_tokens.issue("test")
    for contract, told in (("1", None), ("2", ["pk", "username"])):
        sidecar = Client(headers={"Authorization": f"Bearer {token}", "Authz-Contract": contract})
        head = sidecar.get("/authz/v1/head").json()
        assert head.get("subject_fields") == told
        first = json.loads(sidecar.get("/authz/v1/snapshot").getvalue().splitlines()[0])
        assert first.get("subject_fields") == told
        changes = sidecar.get(f"/authz/v1/changes?epoch={head['epoch']}&after={head['revision']}")
        assert json.loads(changes.headers.get("Authz-Subject-Fields", "null")) == told
    key = f"username%1F{ann.username}"
    assert sidecar.get(f"/authz/v1/subjects/{key}").json()["sub"] == by_name("ann")
    assert sidecar.get("/authz/v1/subjects/ann").status_code == 404


def test_what_one_field_says_is_never_what_another_does(named: str) -> None:
    """Whoever may choose a name cannot choose another's key, nor end what was issued to it."""
    ann = User.objects.create(username="ann")
    ann.user_permissions.add(permission())
    eve = User.objects.create(username=str(ann.pk))
    sequence()
    assert living()[str(ann.pk)]["permissions"] == [LABEL]
    assert living()[by_name(str(ann.pk))]["permissions"] == []
    before = generation(str(ann.pk)), generation(by_name("ann"))
    for name in (by_name("ann"), f"{SEPARATOR}ann", f"pk{SEPARATOR}{ann.pk}"):
        rename(eve.username, name)
        eve.refresh_from_db()
        sequence()
        assert sorted(living()) == sorted([str(ann.pk), by_name("ann"), str(eve.pk)])
    User.objects.filter(pk=eve.pk).delete()
    sequence()
    assert (generation(str(ann.pk)), generation(by_name("ann"))) == before


def test_another_name_ends_what_was_issued_to_it_alone(named: str) -> None:
    ann = User.objects.create(username="ann")
    sequence()
    old, own = generation(by_name("ann")), generation(str(ann.pk))
    rename("ann", "ann.b")
    sequence()
    assert newest() == sorted([(by_name("ann"), False), (by_name("ann.b"), True)])
    assert generation(str(ann.pk)) == own
    bob = User.objects.create(username="ann")
    sequence()
    assert generation(by_name("ann")) > old
    assert Entity.objects.get(key=by_name("ann")).owner == str(bob.pk)
    told = lines.lines(list(Change.objects.filter(selecting.of_user(str(ann.pk))).order_by("pk")))
    assert [line.split(" by ")[0] for line in told] == ["+ user ann.b", "+ another username for ann.b"]
    assert not Change.objects.filter(pending=True).exists()
    assert Change.objects.get(what="subject").revision is not None


def test_two_users_pass_their_names_on(named: str) -> None:
    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    ann.user_permissions.add(permission())
    sequence()
    own = {str(user.pk): generation(str(user.pk)) for user in (ann, bob)}
    before = {name: generation(by_name(name)) for name in ("ann", "bob")}
    with transaction.atomic():
        swap("ann", "bob")
    sequence()
    assert [living()[by_name(name)]["permissions"] for name in ("ann", "bob")] == [[], [LABEL]]
    assert all(generation(by_name(name)) > before[name] for name in before)
    assert own == {key: generation(key) for key in own}


def test_a_deactivation_ends_all_of_them(named: str) -> None:
    ann = User.objects.create(username="ann")
    sequence()
    for end in (
        lambda: User.objects.filter(pk=ann.pk).update(is_active=False),
        lambda: User.objects.filter(pk=ann.pk).update(is_active=True, token_generation=7),
        lambda: services.sign_out_everywhere(user=ann),
        lambda: generations.end(ann),
        lambda: sql("DELETE FROM accounts_user WHERE username = 'ann'"),
    ):
        count = {key: End.objects.filter(key=key).count() for key in (str(ann.pk), by_name("ann"))}
        end()
        assert all(End.objects.filter(key=key).count() > count[key] for key in count)
    sequence()
    assert not {str(ann.pk), by_name("ann")} & set(living())


def test_who_has_no_name_is_named_by_the_key_alone(named: str) -> None:
    ann = User.objects.create(username="")
    sequence()
    assert sorted(living()) == [str(ann.pk)]
    if connection.vendor == "postgresql":
        assert suspects.existing("user", EVERYTHING) == []
    by = Subject(User._meta.get_field("username"), by_name(""))
    said = {text: by.key(text) for text in (None, "", "x" * 246, "x" * 247, f"a{SEPARATOR}b")}
    assert [text for text, key in said.items() if key is not None] == ["x" * 246]


@pytest.mark.parametrize("way", ["another name", "no row", "another state"])
def test_the_audit_finds_what_the_triggers_missed(named: str, way: str) -> None:
    ann = User.objects.create(username="ann")
    User.objects.create(username="bob").user_permissions.add(permission())
    sequence()
    if way == "no row":
        sql("DELETE FROM accounts_user WHERE username = 'ann'")
    elif way == "another name":
        rename("ann", "eve")
    else:
        Entity.objects.filter(key=by_name("ann")).update(state=Entity.objects.get(key=by_name("bob")).state)
    Mark.objects.all().delete()
    if connection.vendor == "postgresql":
        found = {*suspects.logged(EVERYTHING), *suspects.existing("user", EVERYTHING)}
        assert [key.key for key in found] == [str(ann.pk)]
    before = audit.found()
    call_command("reconcile", verbosity=0)
    expected = {"no row": ["bob"], "another name": ["bob", "eve"], "another state": ["ann", "bob"]}[way]
    assert [key for key in sorted(living()) if SEPARATOR in key] == [by_name(name) for name in expected]
    held = {name: living()[by_name(name)]["permissions"] for name in expected}
    assert held == {name: [LABEL] if name == "bob" else [] for name in expected}
    assert audit.found() == before


def test_what_the_log_says_well_is_not_suspected(named: str) -> None:
    for name in ("ann", "bob"):
        User.objects.create(username=name).user_permissions.add(permission())
    services.sign_out_everywhere(user=User.objects.get(username="ann"))
    rename("bob", "eve")
    sequence()
    assert suspects.logged(EVERYTHING) == []
    if connection.vendor == "postgresql":
        assert suspects.existing("user", EVERYTHING) == []


def test_a_field_comes_and_goes(database: str, settings: Settings) -> None:
    """Other fields begin another epoch, which sidecars follow only when all are named anew."""
    ann = User.objects.create(username="ann")
    ann.user_permissions.add(permission())
    first = sequence()
    settings.AUTHZ_CHANGELOG = {"SUBJECT": ["pk", "username"]}
    User.objects.filter(pk=ann.pk).update(is_superuser=True)
    with pytest.raises(SequencingFailed, match=r"is 'pk username', and the log names users by 'pk'"):
        sequence()
    call_command("migrate", verbosity=0)
    second = sequence()
    assert second.epoch != first.epoch
    assert (first.subject_fields, second.subject_fields) == (["pk"], ["pk", "username"])
    assert living()[by_name("ann")]["superuser"]
    call_command("migrate", verbosity=0)
    assert Head.objects.get().epoch == second.epoch
    settings.AUTHZ_CHANGELOG = {"SUBJECT": "username"}
    call_command("migrate", verbosity=0)
    third = sequence()
    assert sorted(living()) == ["ann"]
    assert third.epoch != second.epoch
    old = generation("ann")
    settings.AUTHZ_CHANGELOG = {}
    call_command("migrate", verbosity=0)
    sequence()
    assert sorted(living()) == [str(ann.pk)]
    assert old >= 0


def test_what_an_older_version_has_lost_of_whose_a_subject_is(named: str, settings: Settings) -> None:
    """It knows no owners: after a way back and forth the keys alone are left, whatever they were made of."""
    User.objects.create(username="ann")
    sequence()
    Entity.objects.update(owner=None)
    settings.AUTHZ_CHANGELOG = {}
    bootstrap.install()
    sequence()
    assert living().keys() == {str(user.pk) for user in User.objects.all()}
    assert audit.found() == 0


def test_who_is_forgotten_is_forgotten_by_every_name(named: str) -> None:
    ann = User.objects.create(username="ann")
    sequence()
    rename("ann", "ann.b")
    sequence()
    old = {name: generation(by_name(name)) if by_name(name) in living() else 0 for name in ("ann", "ann.b")}
    key = str(ann.pk)
    ann.delete()
    User.objects.create(username="bob")
    with pytest.raises(forgetting.NotForgotten):
        forgetting.forget(key)
    assert Entity.objects.filter(key=by_name("ann.b")).exists()
    Revision.objects.filter(pk__lt=sequence().revision).delete()
    call_command("forget_user", key, verbosity=0)
    names = [key, by_name("ann"), by_name("ann.b")]
    assert not Entity.objects.filter(key__in=names).exists()
    assert not End.objects.filter(key__in=names).exists()
    assert not Change.objects.filter(name__in=["ann", "ann.b"]).exists()
    for name, before in old.items():
        User.objects.create(username=name)
        sequence()
        assert generation(by_name(name)) > before


def test_an_old_name_of_somebody_who_is_there_is_forgotten_alone(named: str) -> None:
    ann = User.objects.create(username="ann")
    sequence()
    rename("ann", "ann.b")
    sequence()
    User.objects.create(username="bob")
    Revision.objects.filter(pk__lt=sequence().revision).delete()
    call_command("forget_user", by_name("ann"), verbosity=0)
    assert {str(ann.pk), by_name("ann.b")} <= set(living())
    assert not Entity.objects.filter(key=by_name("ann")).exists()
    with pytest.raises(forgetting.NotForgotten, match="exists"):
        forgetting.forget(by_name("ann.b"))


def test_a_mistake_in_the_fields_is_told_with_its_mend(database: str, settings: Settings) -> None:
    def told(*fields: str) -> list[str]:
        settings.AUTHZ_CHANGELOG = {"SUBJECT": list(fields)}
        return [problem.what.partition("SUBJECT']: ")[2] for problem in naming.misfits()]

    assert told("pk", "username") == []
    assert told("username", "pk") == []
    assert told("pk", "email") == ["accounts.User.email is not unique: two users would be one subject."]
    assert told("pk", "nobody") == ["accounts.User.nobody is no column of the user."]
    assert told("pk", "id") == ["accounts.User.id is pk, which is named already."]


@example(
    [([("create", 1, "a"), ("create", 2, "1")], True), ([("rename", 2, "a"), ("pass on", 1, "1")], True)]
)
@hypothesis_settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(steps, max_size=5))
def test_the_log_says_of_each_subject_what_its_user_holds(named: str, history: list) -> None:
    seen: dict[str, tuple[str, int]] = {}
    for those, at_once in [*history, ([], True)]:
        with transaction.atomic():
            for act, pk, name in those:
                ACTS[act](pk, name)
            connection.run_on_commit.clear()
        if at_once:
            assert_agrees(seen)


def assert_agrees(seen: dict[str, tuple[str, int]]) -> None:
    """And a subject that is another user's has another generation, a greater one."""
    sequence()
    found = living()
    expected = {key: user for user in User.objects.all() for key in (str(user.pk), by_name(user.username))}
    assert set(found) == set(expected)
    for key, user in expected.items():
        held = grants.of(key)
        assert held is not None
        assert grants.decide(held, LABEL, found[key]["token_generation"])[0] == user.has_perm(LABEL)
        owner, number = seen.get(key, ("", -1))
        now = (str(user.pk), found[key]["token_generation"])
        assert now[1] >= number if owner == now[0] else now[1] > number
        seen[key] = now
