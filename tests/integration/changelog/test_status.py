"""`manage.py authz_status`, and when sidecars were seen last."""

import json
import sqlite3
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from authz_changelog.models import Mark, ServiceToken, Turn
from authz_changelog.sidecars import service_tokens


def shown(*arguments: str) -> tuple[int, str]:
    output = StringIO()
    try:
        call_command("authz_status", *arguments, stdout=output)
    except SystemExit as ended:
        return int(str(ended.code)), output.getvalue()
    return 0, output.getvalue()


def status() -> tuple[int, dict]:
    code, output = shown("--json")
    return code, json.loads(output)


def test_a_new_database_is_well(database: str) -> None:
    User.objects.create(username="ann")
    code, found = status()
    assert (code, found["ok"], found["problems"]) == (0, True, [])
    assert found["head"]["revision"] >= 1
    assert found["pending"] == {"marks": 0, "oldest_at": None}
    assert found["triggers"]["wanted"] > found["triggers"]["missing"] == 0
    assert found["proof"]["proved"]
    assert found["relay"] == {"wanted": False, "seen_at": None, "published": 0}
    assert found["sidecars"] == []


def test_it_says_when_each_sidecar_was_seen_last(database: str, sidecar: Client) -> None:
    service_tokens.issue("another")
    service_tokens.issue("gone")
    call_command("revoke_service_token", "gone", stdout=StringIO())
    assert sidecar.get("/authz/v1/head").status_code == 200
    another, gone, test = status()[1]["sidecars"]
    assert (another["name"], another["last_used_at"]) == ("another", None)
    assert gone["revoked_at"] is not None
    assert test["last_used_at"] >= test["created_at"]
    lines = shown()[1].splitlines()
    assert f"sidecar   test, last used {test['last_used_at']}" in lines
    assert "sidecar   another, last used None" not in lines
    assert "sidecar   another, never used" in lines


def test_a_use_is_not_noted_with_each_call(database: str, sidecar: Client) -> None:
    sidecar.get("/authz/v1/head")
    ServiceToken.objects.update(last_used_at=None)
    sidecar.get("/authz/v1/head")
    assert ServiceToken.objects.get().last_used_at is None


def test_a_wrong_token_is_no_use(database: str, sidecar: Client) -> None:
    assert Client(headers={"Authorization": "Bearer wrong"}).get("/authz/v1/head").status_code == 401
    assert ServiceToken.objects.get().last_used_at is None


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_sidecar_is_let_in_while_somebody_else_writes(database: str, sidecar: Client) -> None:
    other = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert service_tokens.is_valid(sidecar.defaults["HTTP_AUTHORIZATION"].removeprefix("Bearer "))
    other.close()
    assert connection.cursor().execute("PRAGMA busy_timeout").fetchone() == (10_000,)


def test_triggers_that_are_gone_are_a_problem(database: str) -> None:
    name, table = _some_trigger()
    on = f' ON "{table}"' if connection.vendor == "postgresql" else ""
    connection.cursor().execute(f'DROP TRIGGER "{name}"{on}')
    code, found = status()
    assert (code, found["ok"], found["proof"]["proved"]) == (1, False, False)
    assert found["triggers"]["missing"] == 1
    assert found["proof"]["broken"] == [table]
    (problem,) = found["problems"]
    assert table in problem
    assert "manage.py install_triggers" in problem
    assert f"problem   {problem}" in shown()[1].splitlines()


def test_changes_that_wait_long_are_a_problem(database: str) -> None:
    Mark.objects.create(kind="user", key="1", marked_at="2026-01-01T00:00:00Z")
    code, found = status()
    assert (code, found["pending"]["marks"]) == (1, 1)
    (problem,) = found["problems"]
    assert "Changes wait since 2026-01-01T00:00:00.000000Z: run `manage.py relay`" in problem


def test_a_broker_without_a_relay_is_a_problem(database: str, settings: Settings) -> None:
    settings.AUTHZ_CHANGELOG = {"AMQP_URL": "amqp://localhost"}
    assert status()[1]["problems"] == ["No relay was seen yet: run `manage.py relay`."]


def test_an_audit_that_does_not_go_on_is_a_problem(database: str) -> None:
    Turn.objects.update(relay_at="2026-01-01T00:00:00Z")
    (problem,) = status()[1]["problems"]
    assert "Not everything has been compared yet" in problem
    assert "manage.py reconcile" in problem


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_tables_it_says_so(database: str) -> None:
    connection.cursor().execute("DROP TABLE authz_changelog_head")
    code, found = status()
    assert (code, found["problems"]) == (1, ["The change log has no tables yet: run `manage.py migrate`."])
    assert shown() == (1, f"problem   {found['problems'][0]}\n")


def _some_trigger() -> tuple[str, str]:
    from authz_changelog.marks import triggers

    trigger = triggers.wanted()[-1]
    return trigger.name, trigger.table
