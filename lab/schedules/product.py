"""What the explorer knows of the change log: how its work is called, and how its log is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db import OperationalError
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.test import RequestFactory
from django.urls import resolve

from authz_changelog.bootstrap import install
from authz_changelog.marks import integrity
from authz_changelog.models import Fingerprint, Head, Mark, Turn
from authz_changelog.publishing.relay import publish_new
from authz_changelog.revisions import audit as auditing
from authz_changelog.revisions import epochs, messages, pending, reconcile, sequencer, writing
from authz_changelog.revisions.errors import SequencingFailed
from authz_changelog.revisions.revision_token import revision_token
from authz_changelog.sidecars import service_tokens
from lab.schedules.actors import Actor
from lab.schedules.world import State, User

TABLES = [model._meta.db_table for model in apps.get_app_config("authz_changelog").get_models()]
MARKS, FINGERPRINT = Mark._meta.db_table, Fingerprint._meta.db_table
LOSSES = f"SELECT 1 FROM {MARKS} WHERE NOT postponed AND gain IS NOT TRUE LIMIT 1"
"""Whether somebody may have lost what is not logged yet."""
LIMIT = pending.LIMIT
"""With at most so many entities pending, each revision is a committed state as a whole."""
SHARES = (
    (pending, "LIMIT", 1.0),
    (pending, "PART", 0.4),
    (pending, "PAGE", 0.4),
    (pending, "SMALL", 0.25),
    (writing, "LARGEST", 1.25),
)
"""The sequencer's limits, as shares of the first."""
GIVES_UP = (SequencingFailed, OperationalError)
"""What callers of the log are told to expect: it cannot be done now, somebody will try again."""
TOKEN = "a-service-token-of-the-explorer"  # noqa: S105 (of a database of its own)

Entities = dict[tuple[str, str], dict[str, Any] | None]
"""By kind and key: the state, `None` of what is dead."""


@dataclass(frozen=True)
class Said:
    """What an action's answer claims of the log."""

    revision: int | None = None
    """It contains everything that was committed before the action began."""
    own: bool = False
    """It contains what the asking writer committed, but perhaps nothing else."""
    shows: Mapping[str, Any] | None = None
    """The state of these entities at that revision, by `kind:key`."""
    wrong: str = ""
    """The action itself shows that something is wrong."""


Action = Callable[[Actor], Said]


def run(_: Actor) -> Said:
    """One run of the sequencer, as after a commit and in the relay."""
    complete = sequencer.run()
    return Said(Head.objects.get().revision if complete else None)


def sequence(_: Actor) -> Said:
    return Said(sequencer.sequence(within=5).revision)


def head(_: Actor) -> Said:
    answer = _ask("head")
    return Said(json.loads(answer.content)["revision"]) if answer else Said()


def snapshot(_: Actor) -> Said:
    answer = _ask("snapshot")
    if answer is None:
        return Said()
    first, *lines, last = (json.loads(line) for line in b"".join(answer.streaming_content).splitlines())
    shown = {f"{line['kind']}:{line['key']}": line["state"] for line in lines}
    wrong = "" if last["entities"] == first["entities"] == len(lines) else "a snapshot miscounts its lines"
    return Said(first["revision"], shows=shown, wrong=wrong)


def subject(_: Actor) -> Said:
    answer = _ask("subjects/1")
    if answer is None:
        return Said()
    body = json.loads(answer.content)
    shown = {f"{line['kind']}:{line['key']}": line["state"] for line in body.get("entities", ())}
    return Said(body["revision"], shows=shown or {"user:1": None})


def changes(_: Actor) -> Said:
    at = Head.objects.get()
    answer = _ask("changes", epoch=str(at.epoch), after=at.revision)
    if answer is None or answer.status_code == 410:  # a new epoch began in between
        return Said()
    return Said(int(answer.headers["Authz-Head"]))


def audit(_: Actor) -> Said:
    """All is compared by the command's means, and a slice of each section by those of the relay."""
    found = [key for batch in reconcile.steps() for key in batch]
    before = auditing.found()
    for _section in auditing.SECTIONS:
        Turn.objects.update(due_at=auditing.NEVER)
        auditing.step()
    number = len(found) + auditing.found() - before
    return Said(wrong=f"the audit found {number} differences: {found}" if number else "")


def prune(_: Actor) -> Said:
    epochs.prune(timedelta(0))
    return Said()


def new_epoch(_: Actor) -> Said:
    epochs.new_epoch()
    return Said()


def publish(_: Actor) -> Said:
    """What the relay does with a broker that takes everything."""
    publish_new(_Broker())
    return Said()


ACTIONS: dict[str, Action] = {
    action.__name__: action
    for action in (run, sequence, head, snapshot, subject, changes, audit, prune, new_epoch, publish)
}


def answered(since: int) -> Said:
    """What the author of a write is told: the revision that contains it."""
    token = revision_token(since)
    return Said(int(token.partition(".")[2]) if token else None, own=True)


class _Broker:
    def publish(self, *_: Any) -> None:
        """Taken."""


def _ask(path: str, **query: str | int) -> Any:
    headers = {"Authorization": f"Bearer {TOKEN}", "Authz-Contract": str(messages.NEWEST)}
    request = RequestFactory().get(f"/authz/v1/{path}", query, headers=headers)
    match = resolve(request.path)
    answer: HttpResponseBase = match.func(request, **match.kwargs)
    if isinstance(answer, SimpleTemplateResponse):
        answer.render()
    if answer.status_code == 503:
        return None
    if answer.status_code not in (200, 404, 410):
        raise AssertionError(f"/{path} answered {answer.status_code}")
    return answer


def last_change() -> int:
    """What `answered` needs to know from before the write."""
    return int(sequencer.last_mark())


def prepare() -> None:
    service_tokens.register("explorer", TOKEN)


def sequence_all() -> None:
    sequencer.sequence(within=60)


def trust() -> None:
    """The triggers are as they were when all was compared, whatever has become of the schema meanwhile."""
    if integrity.review().broken:
        mend()
    integrity.keep(integrity.review().fingerprint)


def mend() -> None:
    """What an operator does when triggers are not there."""
    install()


def completed() -> bool:
    """Bring the log up to date; False when it cannot be said to be."""
    try:
        sequencer.sequence(within=5)
    except SequencingFailed:
        return False
    return True


@contextmanager
def limits(entities: int | None) -> Iterator[None]:
    """The sequencer's limits in proportion, so that little is a lot."""
    before = [(module, name, getattr(module, name)) for module, name, _ in SHARES]
    for module, name, share in SHARES if entities else ():
        setattr(module, name, max(1, int(share * (entities or 0))))
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def applied(before: Entities, revision: str) -> Entities:
    """The entities after a revision of the log."""
    changed = {(each["kind"], each["key"]): each["state"] for each in json.loads(revision)}
    return {**before, **changed}


def state(entities: Entities, *, unborn: bool = False) -> State:
    """What the log's entities amount to: memberships in dead groups are none.

    Nor are those in groups that it does not know yet, unless the `unborn` count.
    """
    alive = {
        key: frozenset(found["permissions"])
        for (kind, key), found in entities.items()
        if kind == "group" and found
    }
    users = {
        key: User(
            found["active"],
            found["superuser"],
            frozenset(found["permissions"]),
            frozenset(
                _group(each)
                for each in found["groups"]
                if each in alive or (unborn and ("group", each) not in entities)
            ),
            found["token_generation"],
        )
        for (kind, key), found in entities.items()
        if kind == "user" and found
    }
    return State(users, {_group(key): permissions for key, permissions in alive.items()})


def _group(key: str) -> str:
    """The table's key, without what tells a group from another one that had it before."""
    return key.partition("#")[0]
