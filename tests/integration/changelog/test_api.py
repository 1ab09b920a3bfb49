"""The sidecars' API over HTTP: every call, every refusal."""

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection, connections
from django.test import Client
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.models import User
from authz_changelog.models import Entity, Head, Revision, ServiceToken
from authz_changelog.revisions.epochs import new_epoch, prune
from authz_changelog.revisions.sequencer import sequence
from authz_changelog.sidecars import service_tokens, snapshot

API = "/authz/v1"
CALLS = ["head", "changes", "snapshot", "digest", "subjects/1", "check", "permissions", "history"]


only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def lines(response: Iterable[bytes]) -> list[dict]:
    return [json.loads(line) for line in b"".join(response).splitlines()]


@pytest.fixture
def ann(database: str) -> User:
    """Revision 1 makes the staff, revision 2 makes Ann one of them."""
    group = Group.objects.create(name="staff")
    group.permissions.add(Permission.objects.get(codename="add_student"))
    user = User.objects.create(username="ann")
    user.groups.add(group)
    user.user_permissions.add(Permission.objects.get(codename="change_student"))
    return user


@pytest.fixture
def head(ann: User) -> Head:
    return sequence()


def test_head(head: Head, sidecar: Client) -> None:
    answer = sidecar.get(f"{API}/head").json()
    audit = {"audited_at", "audit_seconds", "audit_found"}
    assert answer.keys() == {"epoch", "revision", "oldest", "now", *audit}
    assert (answer["epoch"], answer["revision"], answer["oldest"]) == (str(head.epoch), head.revision, 0)


def test_an_answer_contains_what_was_written_behind_djangos_back(
    ann: User, head: Head, sidecar: Client
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_user SET is_active = NOT is_active")
    assert sidecar.get(f"{API}/head").json()["revision"] == head.revision + 1


def test_changes_come_in_order_and_without_gaps(head: Head, sidecar: Client) -> None:
    response = sidecar.get(f"{API}/changes", {"epoch": head.epoch, "after": 1})
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["Authz-Head"] == str(head.revision)
    assert response.headers["Authz-Now"].endswith("Z")
    assert [change["revision"] for change in lines(response)] == list(range(2, head.revision + 1))


def test_changes_can_be_limited(head: Head, sidecar: Client) -> None:
    response = sidecar.get(f"{API}/changes", {"epoch": head.epoch, "after": 1, "limit": 2})
    assert [change["revision"] for change in lines(response)] == [2, 3]
    assert response.headers["Authz-Head"] == str(head.revision)


def test_no_changes_are_an_empty_answer(head: Head, sidecar: Client) -> None:
    response = sidecar.get(f"{API}/changes", {"epoch": head.epoch, "after": head.revision})
    assert (response.status_code, response.content) == (200, b"")


def test_changes_follow_on_from_the_revision_with_that_instant(head: Head, sidecar: Client) -> None:
    query = {"epoch": head.epoch, "after": 0}
    (first, *_) = lines(sidecar.get(f"{API}/changes", query))
    assert sidecar.get(f"{API}/changes", {**query, "after": 1, "at": first["at"]}).status_code == 200
    other = {**query, "after": 1, "at": "2001-02-03T04:05:06.000000Z"}
    assert sidecar.get(f"{API}/changes", other).status_code == 410


@pytest.mark.parametrize("query", [{"after": 10**6}, {"epoch": "00000000-0000-0000-0000-000000000000"}])
def test_what_the_log_cannot_tell_is_gone(head: Head, sidecar: Client, query: dict) -> None:
    response = sidecar.get(f"{API}/changes", {"epoch": head.epoch, "after": 0, **query})
    assert response.status_code == 410
    assert response.json()["code"] == "history_gone"
    assert response.json()["revision"] == head.revision


def test_pruned_revisions_are_gone_and_the_newest_is_never_pruned(head: Head, sidecar: Client) -> None:
    assert prune(timezone.timedelta(0)) == head.revision
    assert sidecar.get(f"{API}/head").json()["oldest"] == head.revision
    query = {"epoch": head.epoch}
    assert sidecar.get(f"{API}/changes", {**query, "after": head.revision - 2}).status_code == 410
    assert sidecar.get(f"{API}/changes", {**query, "after": head.revision}).status_code == 200


def test_a_new_epoch_begins_where_the_old_one_was(head: Head, sidecar: Client) -> None:
    begun = new_epoch()
    assert begun.revision == head.revision
    assert sidecar.get(f"{API}/changes", {"epoch": head.epoch, "after": 1}).status_code == 410
    first = lines(sidecar.get(f"{API}/snapshot"))[0]
    query = {"epoch": first["epoch"], "after": first["revision"], "at": first["at"]}
    User.objects.create(username="bob")
    (change,) = lines(sidecar.get(f"{API}/changes", query))
    assert change["revision"] == head.revision + 1


def test_the_snapshot_is_the_whole_state_without_tombstones(ann: User, head: Head, sidecar: Client) -> None:
    User.objects.create(username="gone").delete()
    first, *entities, last = lines(sidecar.get(f"{API}/snapshot"))
    assert parse_datetime(first.pop("now")) <= timezone.now()
    now = sequence()
    at = Revision.objects.get(pk=now.revision).at
    assert first == {
        "type": "snapshot",
        "v": 1,
        "epoch": str(now.epoch),
        "revision": now.revision,
        "at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "entities": 2,
        "audited_at": None,
    }
    assert last == {"type": "end", "entities": 2}
    assert {entity["kind"] for entity in entities} == {"user", "group"}
    assert all(entity.keys() == {"kind", "key", "revision", "state"} for entity in entities)


def test_a_snapshot_shows_one_state_whatever_is_written_meanwhile(database: str, sidecar: Client) -> None:
    count = 3 * snapshot.CHUNK
    Entity.objects.bulk_create(
        Entity(kind="user", key=str(key), revision=0, slot=0, state="{}") for key in range(count)
    )
    begun = iter(sidecar.get(f"{API}/snapshot"))
    first = json.loads(next(begun))
    with ThreadPoolExecutor(1) as thread:
        thread.submit(forget_everyone).result()
    *entities, last = lines(begun)
    assert len(entities) == first["entities"] == last["entities"] == count


def forget_everyone() -> None:
    try:
        Entity.objects.all().delete()
    finally:
        connections["default"].close()


def test_a_reader_that_goes_away_leaves_nothing_behind(database: str, sidecar: Client) -> None:
    User.objects.create(username="ann")
    response = sidecar.get(f"{API}/snapshot")
    next(iter(response))
    response.close()
    User.objects.create(username="bob")
    assert len(lines(sidecar.get(f"{API}/snapshot"))) == 4


def test_buckets_are_a_partition_and_their_digests_are_as_specified(database: str, sidecar: Client) -> None:
    User.objects.bulk_create(User(username=f"ü{number}") for number in range(40))
    count = 8
    whole = lines(sidecar.get(f"{API}/snapshot"))[1:-1]
    digests = sidecar.get(f"{API}/digest", {"buckets": count}).json()["buckets"]
    found = []
    for number, digest in enumerate(digests):
        first, *bucket, last = lines(sidecar.get(f"{API}/snapshot", {"buckets": count, "bucket": number}))
        assert first["entities"] == last["entities"] == len(bucket)
        found += bucket
        combined = 0
        for entity in bucket:
            key = f"{entity['kind']}:{entity['key']}".encode()
            assert int(hashlib.sha256(key).hexdigest()[:8], 16) % count == number
            state = json.dumps(entity["state"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            line = "\t".join((entity["kind"], entity["key"], str(entity["revision"]), state))
            combined ^= int(hashlib.sha256(line.encode()).hexdigest(), 16)
        assert digest["digest"] == f"{combined:064x}"
        assert digest["revision"] == max((entity["revision"] for entity in bucket), default=0)
    assert sorted(entity["key"] for entity in found) == sorted(entity["key"] for entity in whole)


def test_a_subject_with_the_entities_it_is_made_of(ann: User, head: Head, sidecar: Client) -> None:
    answer = sidecar.get(f"{API}/subjects/{ann.pk}").json()
    entities = answer.pop("entities")
    assert parse_datetime(answer.pop("at")) == head.newest.at
    assert answer == {
        "epoch": str(head.epoch),
        "revision": head.revision,
        "sub": str(ann.pk),
        "active": True,
        "superuser": False,
        "permissions": ["students.add_student", "students.change_student"],
        "token_generation": 0,
    }
    everything = lines(sidecar.get(f"{API}/snapshot"))[1:-1]
    assert sorted(entities, key=str) == sorted(everything, key=str)


@pytest.mark.parametrize("sub", ["999999", "01", "a/b", "%C3%BC", "%00"])
def test_an_unknown_subject(head: Head, sidecar: Client, sub: str) -> None:
    response = sidecar.get(f"{API}/subjects/{sub}")
    assert response.status_code == 404
    assert (response.json()["code"], response.json()["revision"]) == ("unknown_subject", head.revision)
    assert parse_datetime(response.json()["at"]) == head.newest.at


CHECKS = [
    ({}, {"permission": "students.change_student"}, (True, "granted")),
    ({}, {"permission": "students.add_student"}, (True, "granted")),
    ({}, {"permission": "students.delete_student"}, (False, "denied")),
    ({}, {"permission": "no.such"}, (False, "denied")),
    ({}, {"permission": None}, (True, "granted")),
    ({}, {"permission": None, "sub": "nobody"}, (False, "unknown_subject")),
    ({}, {"permission": None, "sub": "1\0"}, (False, "unknown_subject")),
    ({}, {"permission": None, "sub": "\ud800"}, (False, "unknown_subject")),
    ({}, {"permission": "\0"}, (False, "denied")),
    ({"is_superuser": True}, {"permission": "no.such"}, (True, "superuser")),
    ({"is_superuser": True, "is_active": False}, {"permission": "no.such"}, (False, "inactive")),
    ({"is_active": False}, {"permission": None}, (False, "inactive")),
    ({"token_generation": 2}, {"permission": None, "token_generation": 1}, (False, "token_revoked")),
    ({"token_generation": 2}, {"permission": None, "token_generation": 2}, (True, "granted")),
]


@pytest.mark.parametrize(("fields", "question", "expected"), CHECKS)
def test_check(ann: User, sidecar: Client, fields: dict, question: dict, expected: tuple[bool, str]) -> None:
    User.objects.filter(pk=ann.pk).update(**(fields or {"is_active": True}))
    response = sidecar.post(f"{API}/check", {"sub": str(ann.pk), **question}, content_type="application/json")
    answer = response.json()
    assert (answer["allowed"], answer["reason"]) == expected
    assert answer["revision"] == Head.objects.get().revision


def test_permissions_lists_the_labels_that_exist(sidecar: Client) -> None:
    labels = sidecar.get(f"{API}/permissions").json()["permissions"]
    assert "students.change_student" in labels
    assert labels == sorted(set(labels))


MALFORMED = [
    ("changes", {"after": 1}, "epoch"),
    ("changes", {"epoch": "x", "after": 1}, "epoch"),
    ("changes", {"epoch": "00000000-0000-0000-0000-000000000000"}, "after"),
    ("changes", {"epoch": "00000000-0000-0000-0000-000000000000", "after": "-1"}, "after"),
    ("changes", {"epoch": "00000000-0000-0000-0000-000000000000", "after": "9" * 30}, "after"),
    ("changes", {"epoch": "00000000-0000-0000-0000-000000000000", "after": 1, "limit": 0}, "limit"),
    ("changes", {"epoch": "00000000-0000-0000-0000-000000000000", "after": 1, "at": "noon"}, "at"),
    (
        "changes",
        {"epoch": "00000000-0000-0000-0000-000000000000", "after": 1, "at": "2026-11-22T25:00:00Z"},
        "at",
    ),
    ("snapshot", {"buckets": 4}, "bucket"),
    ("snapshot", {"buckets": 4, "bucket": 4}, "bucket"),
    ("snapshot", {"buckets": "٤", "bucket": 0}, "buckets"),
    ("digest", {}, "buckets"),
    ("digest", {"buckets": 10**9}, "buckets"),
]


@only_sqlite
@pytest.mark.parametrize(("call", "query", "field"), MALFORMED)
def test_a_malformed_parameter_is_named(sidecar: Client, call: str, query: dict, field: str) -> None:
    response = sidecar.get(f"{API}/{call}", query)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["field"] == field


@only_sqlite
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("", "sub"),
        ("[]", "body"),
        ('{"sub":"1"', "body"),
        ("{}", "sub"),
        ('{"sub":1,"permission":null}', "sub"),
        ('{"sub":"","permission":null}', "sub"),
        ('{"sub":"1"}', "permission"),
        ('{"sub":"1","permission":7}', "permission"),
        ('{"sub":"1","permission":null,"token_generation":true}', "token_generation"),
        ('{"sub":"1","permission":null,"token_generation":-1}', "token_generation"),
        ("[" * 50_000, "body"),
        (b"\xff\xfe", "body"),
    ],
)
def test_a_malformed_question_is_named(sidecar: Client, body: str | bytes, field: str) -> None:
    response = sidecar.post(f"{API}/check", body, content_type="application/json")
    assert (response.status_code, response.json().get("field")) == (400, field)


@only_sqlite
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "authorization", [None, "Bearer nonsense", "Basic eDp5", "Bearer ", "Bearer \x00", "Bearer ü"]
)
def test_no_call_is_answered_without_a_service_token(
    database: str, call: str, authorization: str | None
) -> None:
    client = Client(headers={"Authorization": authorization} if authorization else {})
    response = client.generic("POST" if call == "check" else "GET", f"{API}/{call}")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert "no-store" in response.headers["Cache-Control"]


def test_several_tokens_are_valid_until_each_is_revoked(database: str) -> None:
    old, new = service_tokens.issue("old"), service_tokens.issue("new")
    assert service_tokens.is_valid(old)
    ServiceToken.objects.filter(name="old").update(revoked_at=timezone.now())
    assert (service_tokens.is_valid(old), service_tokens.is_valid(new)) == (False, True)
    assert not ServiceToken.objects.filter(digest__in=[old, new]).exists()


@only_sqlite
@pytest.mark.parametrize("call", CALLS)
def test_only_the_right_method_is_answered(sidecar: Client, call: str) -> None:
    response = sidecar.generic("GET" if call == "check" else "POST", f"{API}/{call}")
    assert response.status_code == 405
    assert response.headers["Allow"] == ("POST" if call == "check" else "GET")


@pytest.mark.parametrize("call", ["head", "permissions", "snapshot"])
def test_no_answer_may_be_stored(sidecar: Client, call: str) -> None:
    assert "no-store" in sidecar.get(f"{API}/{call}").headers["Cache-Control"]


@only_sqlite
def test_a_project_may_wrap_its_requests_in_transactions_and_have_settings_of_its_own(
    head: Head, sidecar: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    headers = {"Accept": "text/html"}
    question = json.dumps({"sub": "1", "permission": None})
    assert sidecar.get(f"{API}/head", headers=headers).json()["revision"] == head.revision
    answer = sidecar.post(f"{API}/check", question, content_type="text/plain", headers=headers)
    assert answer.json()["reason"] == "granted"


def test_a_database_that_fails_is_unavailable_never_a_wrong_answer(ann: User, sidecar: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {Entity._meta.db_table} RENAME TO lost")
    response = sidecar.get(f"{API}/subjects/{ann.pk}")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
