"""What a writer did is written down with who it was, by whatever SQL, in the writer's own transaction."""

import re
import sqlite3
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg
import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from authz_changelog.history import lines, selecting
from authz_changelog.marks.actors import acting
from authz_changelog.marks.recording import BULK
from authz_changelog.models import Change, Head, Revision
from authz_changelog.revisions import writing
from authz_changelog.revisions.sequencer import sequence
from tests.integration.changelog.writers import permission, quietly, sql


def told(**asked: str) -> list[str]:
    """Oldest first, without instants."""
    found = lines.lines(list(selecting.changes(asked)))
    return [re.sub(r" at [-\d]+ [\d:]+ UTC", "", line) for line in reversed(found)]


@pytest.fixture
def ann(database: str) -> User:
    """She may add students, as one of the staff."""
    with acting("setup"):
        ann, staff = User.objects.create(username="ann"), Group.objects.create(name="staff")
        staff.permissions.add(permission("add_student"))
        ann.groups.add(staff)
    sequence()
    return ann


def raw(url: str, statement: str) -> None:
    """By a program that knows nothing of Django."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
            file.execute(statement)
        file.close()
    else:
        with psycopg.connect(url) as there:
            there.execute(statement)


Act = Callable[[User], object]
CASES: list[tuple[Act, list[str]]] = [
    (
        lambda ann: ann.user_permissions.add(permission("change_student")),
        ["+ students.change_student for ann"],
    ),
    (lambda ann: ann.user_permissions.add(permission("change_student")), []),
    (lambda ann: sql("DELETE FROM accounts_user_user_permissions"), ["- students.change_student for ann"]),
    (lambda ann: ann.groups.clear(), ["- group staff for ann"]),
    (lambda ann: User.objects.update(is_active=False), ["- active for ann"]),
    (
        lambda ann: User.objects.update(is_active=True, is_superuser=True),
        ["+ active for ann", "+ superuser for ann"],
    ),
    (lambda ann: User.objects.update(last_name="x", password="y"), []),
    (lambda ann: ann.raise_token_generation(), ["- all tokens for ann"]),
    (
        lambda ann: Group.objects.get().permissions.set([permission("view_student")]),
        ["- students.add_student for the group staff", "+ students.view_student for the group staff"],
    ),
    (
        lambda ann: Permission.objects.filter(codename="view_student").update(codename="see_student"),
        ["- permission students.view_student", "+ permission students.see_student"],
    ),
    (
        lambda ann: Group.objects.all().delete(),
        ["- students.see_student for the group staff", "- group staff"],
    ),
    (
        lambda ann: Permission.objects.get(codename="see_student").delete(),
        ["- permission students.see_student"],
    ),
    (
        lambda ann: sql(
            "INSERT INTO accounts_user (username, is_superuser, is_staff, is_active, token_generation,"
            " password, first_name, last_name, email, date_joined)"
            " VALUES ('eve', TRUE, TRUE, TRUE, 0, '', '', '', '', '2026-01-01')"
        ),
        ["+ user eve", "+ superuser for eve"],
    ),
    (lambda ann: User.objects.filter(username="eve").delete(), ["- user eve"]),
]


def test_each_row_that_comes_or_goes_is_told(ann: User) -> None:
    for act, expected in CASES:
        before = Change.objects.order_by("pk").last()
        act(ann)
        assert before is not None
        found = lines.lines(list(Change.objects.filter(pk__gt=before.pk).order_by("pk")))
        assert [line.split(" by ")[0] for line in found] == expected
    # What is gone is still called what it was called then.
    assert "+ group staff for ann by setup" in " ".join(told(user=str(ann.pk)))
    assert "- students.view_student" not in " ".join(told(user=str(ann.pk)))
    assert any(line.startswith("- students.add_student for the group staff") for line in told())


def test_who_it_was(ann: User, database: str) -> None:
    with acting("import"):
        User.objects.update(is_active=False)  # a statement without a transaction
        with transaction.atomic():
            with transaction.atomic():
                User.objects.update(is_active=True)
                transaction.set_rollback(True)
            with acting("its helper"):
                ann.user_permissions.add(permission("add_student"))
            ann.user_permissions.clear()
    raw(database, "UPDATE accounts_user SET is_active = TRUE")
    with connection.cursor() as cursor:  # this session goes on, and nobody else's name is left in it
        cursor.execute("UPDATE accounts_user SET is_active = FALSE")
    found = [(lines.by(change), change.what) for change in Change.objects.order_by("pk")][-5:]
    role = "" if database.startswith("sqlite") else f" ({urlsplit(database).username})"
    assert found[:4] == [
        ("import", "active"),
        ("its helper", "permission"),
        ("import", "permission"),
        (f"SQL{role}", "active"),
    ]
    assert found[4][0].startswith(("pytest (", "-c ("))


def test_what_is_not_committed_is_not_told(ann: User) -> None:
    before = told()
    with transaction.atomic():
        ann.groups.clear()
        transaction.set_rollback(True)
    assert told() == before


def test_given_and_taken_between_two_runs_is_told_and_no_revision_came_of_it(ann: User) -> None:
    with acting("admin"):
        quietly(lambda: ann.user_permissions.add(permission("change_student")))
    assert told(user="ann")[-1] == "+ students.change_student for ann by admin, not yet in the log"
    with acting("bob"):
        quietly(lambda: ann.user_permissions.clear())
    before = Head.objects.get().revision
    assert sequence().revision == before
    assert told(user="ann")[-2:] == [
        "+ students.change_student for ann by admin, no revision",
        "- students.change_student for ann by bob, no revision",
    ]


def test_a_revision_names_all_its_authors(ann: User) -> None:
    for name, codename in (("admin", "change_student"), ("bob", "delete_student")):
        with acting(name):
            quietly(lambda codename=codename: ann.user_permissions.add(permission(codename)))
    revision = sequence().revision
    assert lines.authors([revision]) == {revision: ["admin", "bob"]}
    assert len(told(revision=str(revision))) == 2


def test_the_end_of_a_group_is_where_its_members_left_it(ann: User) -> None:
    with acting("admin"):
        Group.objects.get().delete()
    revision = sequence().revision
    assert told(user="ann")[-1] == f"- group staff for ann by admin, revision {revision}"


def test_a_statement_of_many_rows_is_one_change_on_postgresql(database: str) -> None:
    with acting("import"):
        quietly(lambda: User.objects.bulk_create(User(username=f"u{n}") for n in range(BULK + 1)))
    before = sequence().revision
    if connection.vendor == "sqlite":
        assert Change.objects.filter(actor="import").count() == BULK + 1
        return
    assert told()[-1:] == [f"+ {BULK + 1:,} rows: users by import, revisions {before - 1} to {before}"]
    assert lines.authors([before]) == {before: ["import"]}
    assert told(user=str(User.objects.first().pk)) == told()[-1:]  # type: ignore[union-attr] # there are some
    quietly(lambda: sql("TRUNCATE accounts_user CASCADE"))
    assert "- all rows: users" in "".join(told())


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_session_can_say_anything_and_be_in_nobodys_way(ann: User, database: str) -> None:
    for actor, active in (("root", "FALSE"), ("x" * 10_000, "TRUE")):
        saying = ", ".join(
            f"set_config('authz_changelog.{name}', '{value}', true)"
            for name, value in {"way": "api", "actor": actor, "actor_key": actor}.items()
        )
        raw(database, f"SELECT {saying}; UPDATE accounts_user SET is_active = {active}")  # noqa: S608 (a forger's)
        assert f" active for ann by {actor[:255]} over the API" in told()[-1]


def test_a_person_is_forgotten_and_what_was_done_is_not(ann: User, settings: Settings) -> None:
    settings.AUTHZ_CHANGELOG = {"FORGET_KEY": "secret"}
    key = str(ann.pk)
    Change.objects.filter(actor="setup").update(actor="ann", actor_key=key)
    ann.delete()
    sequence()
    with pytest.raises(CommandError, match="names the user"):
        call_command("forget_user", key)
    assert "ann" in " ".join(told())
    User.objects.create(username="bob")
    sequence()
    Revision.objects.filter(pk__lt=Head.objects.get().revision).delete()
    call_command("forget_user", key)
    values = [value for row in Change.objects.values_list() for value in row]
    assert "ann" not in values
    assert key not in Change.objects.exclude(name="bob").values_list("key", flat=True).filter(kind="user")
    assert "by forgotten" in " ".join(told())
    assert not User.objects.filter(username="ann").exists()


def test_the_history_has_a_retention(ann: User) -> None:
    Change.objects.update(at="2001-01-01T00:00:00Z")
    quietly(lambda: ann.groups.clear())
    Change.objects.filter(pending=True).update(at="2001-01-01T00:00:00Z")
    call_command("prune_revisions")
    assert told() != []  # what is not in the log yet stays
    sequence()
    call_command("prune_revisions")
    assert told() == []


def test_content_types_that_go_are_named(ann: User) -> None:
    model = ContentType.objects.create(app_label="shop", model="item")
    held = Permission.objects.create(content_type=model, codename="buy", name="x")
    ann.user_permissions.add(held)
    model.delete()
    assert [line.split(" by ")[0] for line in told(user="ann")[-2:]] == [
        "+ shop.buy for ann",
        "- shop.buy for ann",
    ]


def test_what_a_group_with_a_former_key_was_given_is_in_the_revision_that_says_so(
    ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "LARGEST_SIZE", 1)  # an entity for each revision
    before, key = Head.objects.get().revision, Group.objects.get().pk

    def reborn() -> None:
        Group.objects.all().delete()
        Group.objects.create(pk=key, name="staff").permissions.add(permission("view_student"))

    quietly(reborn)
    sequence()
    assert Head.objects.get().revision > before + 1
    for change in Change.objects.filter(kind="group", came=True, revision__gt=before):
        assert f'"key":"{key}#2"' in Revision.objects.get(pk=change.revision).entities


def test_who_came_and_went_has_no_part_in_what_else_happens_to_the_group(ann: User) -> None:
    bob = User.objects.create(username="bob")
    sequence()

    def come_and_go() -> None:
        bob.groups.set(Group.objects.all())
        bob.groups.clear()
        Group.objects.get().permissions.clear()
        ann.user_permissions.add(permission("view_student"))

    quietly(come_and_go)
    sequence()
    assert [line.partition(", ")[2] for line in told(user="bob")[-2:]] == ["no revision", "no revision"]


def test_a_sidecar_is_told_what_decides_about_a_user_and_nothing_else(ann: User, sidecar: Client) -> None:
    staff, others = Group.objects.get(name="staff"), Group.objects.create(name="others")
    add, view = permission("add_student"), permission("view_student")
    with acting("boss"):
        ann.user_permissions.add(view)
        others.permissions.add(add)
        staff.permissions.remove(add)
        ann.user_permissions.add(add)
        User.objects.create(username="bob").user_permissions.add(add)
    query = {"sub": str(ann.pk), "permission": ["students.add_student", "students.unknown"]}
    answer = sidecar.get("/authz/v1/history", query).json()
    told = [re.sub(r" at [-\d]+ [\d:]+ UTC, revision \d+", "", each["text"]) for each in answer["changes"]]
    assert (answer["sub"], answer["whole"]) == (str(ann.pk), True)
    assert sorted(told) == [
        "+ group staff by setup",
        "+ group staff for ann by setup",
        "+ students.add_student for ann by boss",
        "+ students.add_student for the group staff by setup",
        "+ user ann by setup",
        "- students.add_student for the group staff by boss",
    ]
    newest = answer["changes"][0]
    assert newest["revision"] <= answer["revision"]
    assert [each["revision"] for each in answer["changes"]] == sorted(
        (each["revision"] for each in answer["changes"]), reverse=True
    )
    given = next(
        each for each in answer["changes"] if each["text"].startswith("+ students.add_student for ann")
    )
    assert (given["kind"], given["key"], given["what"], given["item"], given["added"], given["by"]) == (
        "user",
        str(ann.pk),
        "permission",
        "students.add_student",
        True,
        "boss",
    )


@pytest.mark.parametrize(
    ("query", "status"),
    [({}, 400), ({"sub": "a\0"}, 400), ({"sub": "nobody"}, 200), ({"sub": "1", "permission": "x"}, 200)],
)
def test_a_question_about_nobody_has_no_changes(
    database: str, sidecar: Client, query: dict[str, str], status: int
) -> None:
    answer = sidecar.get("/authz/v1/history", query)
    assert answer.status_code == status
    assert answer.json().get("changes", []) == []
