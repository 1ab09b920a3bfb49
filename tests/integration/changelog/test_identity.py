"""Tokens issued before an end stay void, whoever has the subject later and however it ended."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.test import Client
from pytest_django import Settings

from accounts import services
from accounts.models import User
from authz_changelog.marks import installation
from authz_changelog.models import Change, End, Entity, Revision
from authz_changelog.revisions import generations
from authz_changelog.revisions.sequencer import sequence
from authz_changelog.sidecars import grants
from tests.integration.changelog.writers import quietly

KEY = 17
FIELDS = {"username": "u", "password": "!", "is_superuser": False}
INSERT = (
    "INSERT INTO accounts_user (id, username, password, first_name, last_name, email, is_staff, is_active,"
    " is_superuser, date_joined, token_generation) VALUES"
    " (17, 'u', '!', '', '', '', false, true, false, '2026-01-01 00:00:00+00', 0)"
)


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def user() -> User:
    return User.objects.get(pk=KEY)


def load(text: str) -> None:
    Path("fixture.json").write_text(text)
    call_command("loaddata", "fixture.json", verbosity=0)


def dump() -> str:
    call_command("dumpdata", "accounts.user", output="dump.json", verbosity=0)
    return Path("dump.json").read_text()


ENDS: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "signed out by the API": (lambda: services.sign_out_everywhere(user=user()), lambda: None),
    "a new password": (lambda: services.user_update(user=user(), password="n3w-Word!"), lambda: None),
    "deactivated by the API": (
        lambda: services.user_deactivate(user=user()),
        lambda: services.user_activate(user=user()),
    ),
    "deactivated by SQL": (
        lambda: sql("UPDATE accounts_user SET is_active = false WHERE id = 17"),
        lambda: sql("UPDATE accounts_user SET is_active = true WHERE id = 17"),
    ),
    "deactivated by update()": (
        lambda: User.objects.filter(pk=KEY).update(is_active=False),
        lambda: User.objects.filter(pk=KEY).update(is_active=True),
    ),
    "deleted and undeleted by SQL": (
        lambda: sql("DELETE FROM accounts_user WHERE id = 17"),
        lambda: sql(INSERT),
    ),
    "deleted and made again": (
        lambda: user().delete(),
        lambda: User.objects.create(pk=KEY, **FIELDS),
    ),
    "renamed and back": (
        lambda: sql("UPDATE accounts_user SET id = 18 WHERE id = 17"),
        lambda: sql("UPDATE accounts_user SET id = 17 WHERE id = 18"),
    ),
    "generation set back": (
        lambda: sql("UPDATE accounts_user SET token_generation = token_generation + 3 WHERE id = 17"),
        lambda: sql("UPDATE accounts_user SET token_generation = 0 WHERE id = 17"),
    ),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def now() -> float:
    return datetime.now(UTC).timestamp()


def valid_generation() -> int:
    """Of the tokens that sidecars let through; also the one that is issued."""
    sequence()
    generation = generations.current(user())
    assert allowed(generation)
    return generation


def allowed(generation: int) -> bool:
    sequence()
    return grants.decide(grants.of(str(KEY)), None, generation)[0]


def instant() -> int | None:
    state = Entity.objects.get(kind="user", key=str(KEY)).state
    return json.loads(state or "{}").get("tokens_not_before")


@pytest.mark.parametrize("seen", ["end and return seen", "both between two runs"])
@pytest.mark.parametrize("way", ENDS)
def test_a_token_that_was_issued_before_an_end_stays_void(database: str, way: str, seen: str) -> None:
    end, come_back = ENDS[way]
    User.objects.create(pk=KEY, **FIELDS)
    old = [valid_generation()]
    assert instant() is None
    for _ in range(3):
        began = now()
        end()
        if seen == "end and return seen":
            sequence()
        come_back()
        old.append(valid_generation())
        assert old == sorted(set(old))
        assert not any(allowed(generation) for generation in old[:-1])
        assert (instant() or 0) >= int(began)


def test_what_is_restored_from_a_fixture_does_not_bring_tokens_back(database: str) -> None:
    User.objects.create(pk=KEY, **FIELDS)
    fixture, old = dump(), valid_generation()
    services.sign_out_everywhere(user=user())
    load(fixture)
    assert not allowed(old)
    newer = valid_generation()
    user().delete()
    sequence()
    load(fixture)
    assert not allowed(old)
    assert not allowed(newer)
    assert valid_generation() > newer


def test_a_row_that_is_removed_without_delete_is_an_end(database: str) -> None:
    User.objects.create(pk=KEY, **FIELDS)
    old = valid_generation()
    if connection.vendor == "sqlite":
        sql(INSERT.replace("INSERT", "REPLACE", 1))
    else:
        sql("TRUNCATE accounts_user CASCADE")
        sql(INSERT)
    assert not allowed(old)
    assert valid_generation() > old


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_no_column_is_mistaken_for_what_triggers_call_rows(database: str) -> None:
    for name in ("gone", "authz_statement", "old_row", "new_row"):
        sql(f"ALTER TABLE accounts_user ADD {name} int")
    User.objects.create(pk=KEY, **FIELDS)
    assert Change.objects.filter(kind="user", key=str(KEY), what="itself", came=True).exists()
    old = valid_generation()
    sql("TRUNCATE accounts_user CASCADE")
    sql(INSERT)
    assert not allowed(old)
    assert valid_generation() > old


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_who_was_born_and_truncated_between_two_runs_has_ended(database: str) -> None:
    quietly(lambda: User.objects.create(pk=KEY, **FIELDS))
    old = generations.current(user())
    quietly(lambda: (sql("TRUNCATE accounts_user CASCADE"), sql(INSERT)))
    assert not allowed(old)
    assert valid_generation() > old


def test_an_end_that_no_trigger_recorded_is_one_when_it_is_found(database: str) -> None:
    User.objects.create(pk=KEY, **FIELDS)
    old = valid_generation()
    sql("DELETE FROM accounts_user WHERE id = 17")
    End.objects.all().delete()
    sequence()
    sql(INSERT)
    assert not allowed(old)
    newer = valid_generation()
    User.objects.filter(pk=KEY).update(is_active=False)
    End.objects.filter(generation__gte=newer).delete()
    sequence()
    sql("UPDATE accounts_user SET is_active = true WHERE id = 17")
    assert not allowed(newer)
    assert valid_generation() > newer


SEEN_BY_THE_ROW = {"signed out by the API", "a new password", "generation set back"}


@pytest.mark.parametrize("way", [way for way in ENDS if way not in SEEN_BY_THE_ROW])
def test_who_ended_while_no_trigger_fired_has_ended_when_he_returns(database: str, way: str) -> None:
    end, come_back = ENDS[way]
    User.objects.create(pk=KEY, **FIELDS)
    old, began = valid_generation(), now()
    quietly(lambda: (end(), End.objects.all().delete()))
    quietly(come_back)
    assert not allowed(old)
    assert valid_generation() > old
    assert (instant() or 0) >= int(began)


PARTS = (
    "CREATE TABLE parts (LIKE accounts_user) PARTITION BY RANGE (id)",
    "ALTER TABLE parts ADD PRIMARY KEY (id)",
    "CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (100)",
    "CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (100) TO (1000)",
    "INSERT INTO parts SELECT * FROM accounts_user",
    "DROP TABLE accounts_user CASCADE",
    "ALTER TABLE parts RENAME TO accounts_user",
)
COMES = {
    "into the table": [INSERT],
    "into a partition": [INSERT.replace("accounts_user", "part1")],
    "from a partition to another": [
        INSERT.replace("17", "500").replace("'u'", "'v'"),
        "UPDATE accounts_user SET id = 17 WHERE id = 500",
    ],
    "within a partition": [
        INSERT.replace("17", "18").replace("'u'", "'v'"),
        "UPDATE accounts_user SET id = 17 WHERE id = 18",
    ],
}


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("way", COMES)
def test_who_returns_in_a_partition_has_ended_too(database: str, way: str) -> None:
    User.objects.create(pk=KEY, **FIELDS)
    for statement in PARTS:
        sql(statement)
    installation.install()
    old = valid_generation()
    sql("DELETE FROM accounts_user WHERE id = 17")
    End.objects.all().delete()
    for statement in COMES[way]:
        sql(statement)
    assert not allowed(old)
    installation.uninstall()


def test_who_is_active_for_the_first_time_has_not_ended(database: str) -> None:
    User.objects.create(pk=KEY, **FIELDS, is_active=False)
    sequence()
    User.objects.filter(pk=KEY).update(is_active=True)
    User.objects.create(pk=KEY + 1, username="v", is_active=False)
    User.objects.filter(pk=KEY + 1).update(is_active=True)
    valid_generation()
    assert not End.objects.exists()


def test_what_ends_nothing_leaves_the_tokens_alone(database: str) -> None:
    User.objects.create(pk=KEY, **FIELDS)
    generation = valid_generation()
    User.objects.filter(pk=KEY).update(is_superuser=True, email="u@example.org")
    User.objects.filter(pk=KEY).update(is_active=True, token_generation=F("token_generation"))
    sql(INSERT + " ON CONFLICT DO NOTHING")
    sql(INSERT + " ON CONFLICT (id) DO UPDATE SET email = 'v@example.org'")
    assert valid_generation() == generation
    assert instant() is None


def test_the_log_says_the_generation_of_the_row_where_that_is_enough(database: str) -> None:
    User.objects.create(pk=KEY, **FIELDS)
    for act in (services.sign_out_everywhere, services.user_deactivate, services.user_activate):
        act(user=user())
        sequence()
        assert grants.of(str(KEY)).state["token_generation"] == user().token_generation


def test_the_instant_goes_only_to_those_who_know_it(sidecar: Client) -> None:
    User.objects.create(pk=KEY, **FIELDS)
    begin = sequence()
    epoch = {"epoch": str(begin.epoch), "after": begin.revision}
    services.sign_out_everywhere(user=user())
    calls = {
        "changes": lambda **headers: sidecar.get("/authz/v1/changes", epoch, **headers).content,
        "snapshot": lambda **headers: sidecar.get("/authz/v1/snapshot", **headers).getvalue(),
        "subject": lambda **headers: sidecar.get(f"/authz/v1/subjects/{KEY}", **headers).content,
    }
    for name, call in calls.items():
        assert b"tokens_not_before" not in call(), name
        assert b"tokens_not_before" not in call(headers={"Authz-Contract": "1"}), name
        assert f'"tokens_not_before":{instant()}'.encode() in call(headers={"Authz-Contract": "2"}), name


@pytest.mark.parametrize("contract", [1, 2])
def test_digests_are_of_the_states_that_the_caller_was_told(sidecar: Client, contract: int) -> None:
    User.objects.create(pk=KEY, **FIELDS)
    services.sign_out_everywhere(user=user())
    headers = {"Authz-Contract": str(contract)}
    lines = sidecar.get("/authz/v1/snapshot", headers=headers).getvalue().splitlines()[1:-1]
    digest = 0
    for line in map(json.loads, lines):
        state = json.dumps(line["state"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        text = f"{line['kind']}\t{line['key']}\t{line['revision']}\t{state}"
        digest ^= int.from_bytes(hashlib.sha256(text.encode()).digest())
    answer = sidecar.get("/authz/v1/digest", {"buckets": "1"}, headers=headers).json()
    assert answer["buckets"][0]["digest"] == f"{digest:064x}"


def test_a_check_judges_tokens_without_a_generation_by_when_they_were_issued(sidecar: Client) -> None:
    User.objects.create(pk=KEY, **FIELDS)
    assert reason(sidecar, 0) == "granted"
    services.sign_out_everywhere(user=user())
    sequence()
    assert [reason(sidecar, issued) for issued in (0, instant(), instant() + 1, None)] == [
        "token_revoked",
        "token_revoked",
        "granted",
        "granted",
    ]


def reason(sidecar: Client, issued_after: float | None) -> str:
    asked = {"sub": str(KEY), "permission": None, "issued_after": issued_after}
    return sidecar.post("/authz/v1/check", asked, content_type="application/json").json()["reason"]


def forget() -> None:
    call_command("forget_user", str(KEY))


def test_who_is_forgotten_leaves_a_keyed_hash(database: str, settings: Settings) -> None:
    User.objects.create(pk=KEY, **FIELDS)
    old = valid_generation()
    with pytest.raises(CommandError, match=r"AUTHZ_CHANGELOG\['FORGET_KEY'\]"):
        forget()
    settings.AUTHZ_CHANGELOG = {"FORGET_KEY": "a secret"}
    with pytest.raises(CommandError, match="exists: delete it first"):
        forget()
    sql("DELETE FROM accounts_user WHERE id = 17")
    with pytest.raises(CommandError, match="not in the log yet"):
        forget()
    sequence()
    with pytest.raises(CommandError, match="prune_revisions"):
        forget()
    User.objects.create(pk=KEY + 1, username="another")
    prune_all_but(sequence().revision)
    forget()
    assert not Entity.objects.filter(kind="user", key=str(KEY)).exists()
    assert not any(str(KEY) in key for key in End.objects.values_list("key", flat=True) if len(key) < 20)
    sql(INSERT)
    assert not allowed(old)
    newer = valid_generation()
    assert newer > old
    sql("UPDATE accounts_user SET is_active = false WHERE id = 17")
    sql("UPDATE accounts_user SET is_active = true WHERE id = 17")
    assert not allowed(newer)
    assert valid_generation() > newer


def prune_all_but(revision: int) -> None:
    Revision.objects.filter(pk__lt=revision).delete()
