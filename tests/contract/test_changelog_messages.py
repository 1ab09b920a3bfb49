"""What the User service sends is what `messages/` shows; the sidecar's tests read the same files."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from authz_changelog.marks import actors
from authz_changelog.models import Change, End, Head, Incarnation, Revision, Slice
from authz_changelog.revisions import audit, messages
from authz_changelog.sidecars import service_tokens

GOLDEN = Path(__file__).parent / "messages"
EPOCH = "3f2a9c1b-5d44-4b0e-9c07-6a1f7f0e8d21"
BEGAN_AT = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
MARKED_AT = datetime(2026, 11, 22, 9, 0, 0, 120000, tzinfo=UTC)
AT = datetime(2026, 11, 22, 9, 0, 0, 123456, tzinfo=UTC)
AUDITED_AT = datetime(2026, 11, 22, 8, 55, 0, tzinfo=UTC)
HEARD_AT = datetime(2026, 11, 22, 9, 0, 1, tzinfo=UTC)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def history(settings: Settings, tmp_path: Path) -> None:
    """Revision 41 begins the epoch; revision 42 makes user 17 a member of group 3."""
    settings.STATIC_ROOT = tmp_path
    for kept in (End, Incarnation):  # that a database is emptied after a test ends who was in it, too
        kept.objects.all().delete()
    Head.objects.update(epoch=EPOCH, revision=41)
    Revision.objects.update(revision=41, at=BEGAN_AT)
    Revision.objects.exclude(revision=41).delete()
    with transaction.atomic():
        group = Group.objects.create(pk=3, name="staff")
        group.permissions.add(label("add_student"))
        user = User.objects.create(pk=17, username="ann", token_generation=2)
        user.groups.add(group)
        user.user_permissions.add(label("change_student"))
    Revision.objects.filter(revision=42).update(marked_at=MARKED_AT, at=AT)
    audit.seen()  # nobody else audits then
    Slice.objects.update(compared_at=AUDITED_AT)


def label(codename: str) -> Permission:
    return Permission.objects.get(codename=codename)


def sidecar() -> Client:
    """Of today."""
    token = service_tokens.issue("test")
    return Client(headers={"Authorization": f"Bearer {token}", "Authz-Contract": str(messages.NEWEST)})


def get(path: str) -> Callable[[], str]:
    return lambda: b"".join(sidecar().get(f"/authz/v1/{path}")).decode()


def check() -> str:
    question = {"sub": "17", "permission": "students.add_student", "token_generation": 2}
    return sidecar().post("/authz/v1/check", question, content_type="application/json").content.decode()


def change() -> str:
    return messages.change(Head.objects.get().epoch, Revision.objects.get(revision=42))


def heartbeat() -> str:
    newest = Revision.objects.get(revision=42)
    return messages.heartbeat(Head.objects.get().epoch, newest, HEARD_AT, AUDITED_AT)


def deletion() -> str:
    with transaction.atomic():
        User.objects.filter(pk=17).delete()
    Revision.objects.filter(revision=43).update(marked_at=MARKED_AT, at=AT)
    return messages.change(Head.objects.get().epoch, Revision.objects.get(revision=43))


def told() -> str:
    Change.objects.all().delete()  # made by whoever runs the tests
    with actors.acting("admin", way=actors.API), transaction.atomic():
        User.objects.get(pk=17).user_permissions.remove(label("change_student"))
    Change.objects.update(at=MARKED_AT)
    return get("history?sub=17&permission=students.change_student")()


PRODUCERS: dict[str, Callable[[], str]] = {
    "change.json": change,
    "deletion.json": deletion,
    "heartbeat.json": heartbeat,
    "head.json": get("head"),
    "history.json": told,
    "changes.ndjson": get(f"changes?epoch={EPOCH}&after=41"),
    "gone.json": get(f"changes?epoch={EPOCH}&after=43"),
    "snapshot.ndjson": get("snapshot"),
    "digest.json": get("digest?buckets=2"),
    "subject.json": get("subjects/17"),
    "unknown-subject.json": get("subjects/18"),
    "check.json": check,
}


def parsed(text: str) -> list[object]:
    """Each line as JSON; the service's clock, which moves on, only has to look like an instant."""
    text = re.sub(r'"now":\s*"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"', '"now":"an instant"', text)
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", PRODUCERS)
def test_the_service_sends_the_golden_message(name: str) -> None:
    assert parsed(PRODUCERS[name]()) == parsed((GOLDEN / name).read_text())


def test_every_golden_message_has_a_producer() -> None:
    assert {path.name for path in GOLDEN.iterdir() if path.name != "README.md"} == PRODUCERS.keys()
