"""Permissions of other services: declared by setting, by command and from policy files, on both databases."""

import logging
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from accounts.models import User

POLICY = """\
version: 1
rules:
  - {methods: [POST], path: /students/, permission: students.add_student}
  - methods: [PUT]
    path: /students/{id}/
    permission:
      any: [students.change_student, courses.grade]
  - {methods: [DELETE], path: "/reports/{id}", permission: {all: [reports.delete_report, courses.grade]}}
  - {methods: [POST], path: /open/, allow: anyone}
tests:
  - {method: POST, path: /students/, permission: nonsense, expect: permission_denied}
"""


def run(*arguments: object) -> str:
    output = StringIO()
    call_command("authz_permissions", *map(str, arguments), stdout=output)
    return output.getvalue()


def labels() -> set[str]:
    rows = Permission.objects.values_list("content_type__app_label", "codename")
    return {f"{app_label}.{codename}" for app_label, codename in rows}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_a_policy_adds_what_is_missing_and_shows_what_is_unused(database: str, policy: Path) -> None:
    ann = User.objects.create(username="ann")
    ann.user_permissions.add(Permission.objects.get(codename="view_student"))
    group = Group.objects.create(name="readers")
    group.permissions.add(Permission.objects.get(codename="view_student"))
    assert run("--policy", policy) == (
        f"added  courses.grade  ({policy}:7: rules[1].permission.any[1])\n"
        f"added  reports.delete_report  ({policy}:8: rules[2].permission.all[0])\n"
        "unused  students.delete_student  (users: 0, groups: 0)\n"
        "unused  students.view_student  (users: 1, groups: 1)\n"
        "4 named, 2 added.\n"
    )
    grade, delete = (Permission.objects.get(codename=name) for name in ("grade", "delete_report"))
    assert (grade.name, grade.content_type.model) == ("Can grade", "service")
    assert (delete.name, delete.content_type.model) == ("Can delete report", "report")
    assert ann.has_perm("students.view_student")
    assert run("--policy", policy).endswith("4 named, 0 added.\n")


def test_check_adds_nothing_and_fails_while_something_is_missing(database: str, policy: Path) -> None:
    before = labels()
    with pytest.raises(CommandError, match="without --check adds them") as failed:
        run("--policy", policy, "--check")
    assert failed.value.returncode == 1
    assert labels() == before
    run("--policy", policy)
    assert "missing" not in run("--policy", policy, "--check").replace("0 missing", "")


def test_several_policies_are_taken_together(database: str, policy: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("rules: [{path: /, permission: students.view_student}]")
    output = run("--policy", policy, "--policy", other)
    assert "5 named, 2 added." in output
    assert "unused  students.view_student" not in output


def test_labels_can_be_arguments(database: str) -> None:
    assert run("reports.export", "students.add_student") == (
        "added  reports.export  (argument)\n2 named, 1 added.\n"
    )
    listed = run().splitlines()
    assert listed[0] == "reports.export  (users: 0, groups: 0)"
    assert len(listed) == 5


def test_what_was_added_can_be_granted_and_reaches_sidecars(
    database: str, sidecar: Client, policy: Path
) -> None:
    run("--policy", policy)
    ann = User.objects.create(username="ann")
    ann.user_permissions.add(Permission.objects.get(codename="grade"))
    assert ann.has_perm("courses.grade")
    assert sidecar.get(f"/authz/v1/subjects/{ann.pk}").json()["permissions"] == ["courses.grade"]
    assert "courses.grade" in sidecar.get("/authz/v1/permissions").json()["permissions"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            "rules:\n  - {path: /, permission: add_student}\n  - {path: /, permission: {any: [a.b, c.d.e]}}",
            [
                ":2: rules[0].permission: 'add_student' has no dot: write app_label.codename",
                ":3: rules[1].permission.any[1]: 'c.d.e' is no label",
            ],
        ),
        (
            "rules: [{path: /, permission: accounts.fly}]",
            [":1: rules[0].permission: accounts.fly", "`permissions` of"],
        ),
        ("rules: [{path: /, allow: anyone}]", ["no rule names a permission"]),
        ("", ["no rule names a permission"]),
        ("rules: [", [":1: cannot be read as YAML"]),
        ("a: &x [1]\nb: *x", ["must not use YAML aliases"]),
        ("\0", ["is no YAML file in UTF-8"]),
        ("rules: [{path: /, permission: x.y}]" + " " * 1024 * 1024, ["is larger than"]),
        (None, ["cannot be read: No such file or directory"]),
    ],
)
def test_a_bad_policy_file_is_told_with_its_place_and_nothing_is_added(
    database: str, tmp_path: Path, content: str | None, says: list[str]
) -> None:
    path = tmp_path / "policy.yaml"
    if content is not None:
        path.write_text(content)
    before = labels()
    with pytest.raises(CommandError) as refused:
        run("--policy", path, "reports.export")
    for each in says:
        assert each in str(refused.value)
    assert str(path) in str(refused.value)
    assert labels() == before


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("label", ["export", "accounts.fly", "a.b.c"])
def test_a_bad_argument_is_refused(database: str, label: str) -> None:
    with pytest.raises(CommandError, match=label):
        run(label)


def test_permissions_of_this_projects_models_may_be_named(database: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("rules: [{path: /, permission: accounts.change_user}]")
    assert run("--policy", path, "--check").endswith("1 named, 0 missing.\n")


def test_a_setting_declares_permissions_when_migrate_runs(database: str, settings: Settings) -> None:
    settings.AUTHZ_CHANGELOG = {
        "PERMISSIONS": {"reports.export": "May export", "students.add_student": "May add"}
    }
    call_command("migrate", verbosity=0)
    assert Permission.objects.get(codename="export").name == "May export"
    assert Permission.objects.get(codename="add_student").name == "May add"
    settings.AUTHZ_CHANGELOG = {"PERMISSIONS": ["reports.export"]}
    call_command("migrate", verbosity=0)
    assert Permission.objects.get(codename="export").name == "May export"


def test_the_first_migrate_of_a_project_that_declares_permissions_warns_of_nothing(
    empty_database: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """They are declared in a log that has begun."""
    settings.AUTHZ_CHANGELOG = {"PERMISSIONS": ["reports.export"]}
    call_command("migrate", verbosity=0)
    assert Permission.objects.filter(codename="export").exists()
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []
