"""The wire contract is read strictly: what breaks it is named, what is unknown in it is ignored."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.core import wire
from authz_sidecar.core.entities import (
    Change,
    Entity,
    EntityKey,
    GroupState,
    Heartbeat,
    Position,
    UserState,
)
from authz_sidecar.core.errors import MalformedMessage
from authz_sidecar.core.wire import SnapshotEnd

EPOCH = "3f2a9c1b-0000-4000-8000-000000000001"
AT = "2026-11-22T09:00:00.123456Z"
SECONDS = 1795338000.123456
HERE = Position(EPOCH, 42, AT)
USER_STATE = {
    "active": True,
    "superuser": False,
    "permissions": ["students.change_student"],
    "groups": ["3"],
    "token_generation": 0,
}
USER = {"kind": "user", "key": "17", "state": USER_STATE}
GROUP = {"kind": "group", "key": "3", "state": {"permissions": ["students.add_student"]}}
CHANGE = {
    "v": 1,
    "type": "change",
    "epoch": EPOCH,
    "revision": 42,
    "marked_at": AT,
    "at": AT,
    "entities": [USER, GROUP],
}
HEARTBEAT = {"v": 1, "type": "heartbeat", "epoch": EPOCH, "revision": 42, "at": AT}
SNAPSHOT = {"type": "snapshot", "v": 1, "epoch": EPOCH, "revision": 42, "at": AT, "entities": 2}
SUBJECT = {
    "epoch": EPOCH,
    "revision": 42,
    "sub": "17",
    "entities": [{**USER, "revision": 7}, {**GROUP, "revision": 9}],
}

user_17 = UserState(True, False, frozenset({"students.change_student"}), frozenset({"3"}), 0)
group_3 = GroupState(frozenset({"students.add_student"}))


def raw(document: object, **changed: object) -> bytes:
    """The document as JSON, with fields changed; a field changed to `...` is left out."""
    if isinstance(document, dict):
        document = {key: value for key, value in {**document, **changed}.items() if value is not ...}
    return json.dumps(document).encode()


def test_change() -> None:
    entities = (Entity(EntityKey("user", "17"), 42, user_17), Entity(EntityKey("group", "3"), 42, group_3))
    assert wire.parse_message(raw(CHANGE)) == Change(HERE, SECONDS, entities)


def test_heartbeat() -> None:
    assert wire.parse_message(raw(HEARTBEAT)) == Heartbeat(Position(EPOCH, 42, None), SECONDS)


def test_a_heartbeat_may_name_the_time_of_its_revision() -> None:
    assert wire.parse_message(raw(HEARTBEAT, revision_at=AT)) == Heartbeat(HERE, SECONDS)
    with pytest.raises(MalformedMessage, match="revision_at"):
        wire.parse_message(raw(HEARTBEAT, revision_at="before"))


def test_deletion_is_a_state() -> None:
    message = wire.parse_message(raw(CHANGE, entities=[{**USER, "state": None}]))
    assert isinstance(message, Change)
    assert message.entities == (Entity(EntityKey("user", "17"), 42, None),)


def test_unknown_fields_are_ignored() -> None:
    entity = {**USER, "note": 1, "state": {**USER_STATE, "shoe_size": 43}}
    assert wire.parse_message(raw(CHANGE, entities=[entity], extra={})) == wire.parse_message(
        raw(CHANGE, entities=[USER])
    )


def test_mark_may_be_unknown() -> None:
    message = wire.parse_change(raw(CHANGE, marked_at=None))
    assert message.marked_at is None


HEAD = {"epoch": EPOCH, "revision": 42, "now": AT}


def test_the_fields_that_name_users_may_be_told() -> None:
    assert wire.parse_head(raw(HEAD)).subject_fields is None
    assert wire.parse_snapshot_head(raw(SNAPSHOT)).subject_fields is None
    assert wire.parse_head(raw(HEAD, subject_fields=["pk", "email"])).subject_fields == ("pk", "email")
    assert wire.parse_snapshot_head(raw(SNAPSHOT, subject_fields=["é"])).subject_fields == ("é",)
    assert wire.parse_subject_fields(None) is None
    assert wire.parse_subject_fields('["pk", "\\u00e9"]') == ("pk", "é")


@pytest.mark.parametrize("fields", ["pk", [], [""], [1], ["pk", "pk"], ["p\x1fk"], {"pk": 1}])
def test_fields_that_are_none_are_refused(fields: object) -> None:
    for parse, document in ((wire.parse_head, HEAD), (wire.parse_snapshot_head, SNAPSHOT)):
        with pytest.raises(MalformedMessage, match="subject_fields"):
            parse(raw(document, subject_fields=fields))
    with pytest.raises(MalformedMessage):
        wire.parse_subject_fields(json.dumps(fields))


@pytest.mark.parametrize("header", ["", "pk, email", '["pk"', '["pk"]}', '["pk"], "x": 1'])
def test_a_header_that_is_no_list_is_refused(header: str) -> None:
    with pytest.raises(MalformedMessage):
        wire.parse_subject_fields(header)


MALFORMED_CHANGES = {
    "v: another version": ("v", {"v": 2}),
    "v: missing": ("v", {"v": ...}),
    "v: true is not 1": ("v", {"v": True}),
    "v: 1.0 is not 1": ("v", {"v": 1.0}),
    "type: unknown": ("type", {"type": "gossip"}),
    "type: unhashable": ("type", {"type": []}),
    "epoch: missing": ("epoch", {"epoch": ...}),
    "epoch: not a UUID": ("epoch", {"epoch": "3f2a9c1b"}),
    "epoch: upper case": ("epoch", {"epoch": EPOCH.upper()}),
    "revision: text": ("revision", {"revision": "42"}),
    "revision: boolean": ("revision", {"revision": True}),
    "revision: float": ("revision", {"revision": 42.0}),
    "revision: negative": ("revision", {"revision": -1}),
    "revision: zero": ("revision", {"revision": 0}),
    "revision: too big": ("revision", {"revision": 2**53}),
    "at: missing": ("at", {"at": ...}),
    "at: null": ("at", {"at": None}),
    "at: no offset": ("at", {"at": "2026-11-22T09:00:00"}),
    "at: not a time": ("at", {"at": "yesterday"}),
    "marked_at: number": ("marked_at", {"marked_at": 5}),
    "previous_at: not an instant": ("previous_at", {"previous_at": "before"}),
    "entities: missing": ("entities", {"entities": ...}),
    "entities: empty": ("entity", {"entities": []}),
    "entities: object": ("entities", {"entities": {}}),
    "entities: text inside": ("entities", {"entities": ["user"]}),
    "entities: twice the same": ("entities", {"entities": [USER, USER]}),
    "kind: unknown": ("kind", {"entities": [{**USER, "kind": "role"}]}),
    "kind: unhashable": ("kind", {"entities": [{**USER, "kind": {}}]}),
    "key: number": ("key", {"entities": [{**USER, "key": 17}]}),
    "key: empty": ("key", {"entities": [{**USER, "key": ""}]}),
    "key: too long": ("key", {"entities": [{**USER, "key": "x" * 256}]}),
    "key: lone surrogate": ("key", {"entities": [{**USER, "key": "\ud800"}]}),
    "state: missing": ("state", {"entities": [{"kind": "user", "key": "17"}]}),
    "state: list": ("state", {"entities": [{**USER, "state": []}]}),
    "state: of a group": ("active", {"entities": [{**USER, "state": GROUP["state"]}]}),
}
MALFORMED_STATES = {
    "active: number": ("active", {"active": 1}),
    "active: missing": ("active", {"active": ...}),
    "superuser: text": ("superuser", {"superuser": "no"}),
    "permissions: text": ("permissions", {"permissions": "students.add_student"}),
    "permissions: number inside": ("permissions", {"permissions": [5]}),
    "permissions: too long": ("permissions", {"permissions": ["p" * 256]}),
    "groups: number inside": ("groups", {"groups": [3]}),
    "token_generation: boolean": ("token_generation", {"token_generation": False}),
    "token_generation: missing": ("token_generation", {"token_generation": ...}),
}


@pytest.mark.parametrize(("field", "changed"), MALFORMED_CHANGES.values(), ids=MALFORMED_CHANGES.keys())
def test_malformed_change_names_the_field(field: str, changed: dict[str, object]) -> None:
    with pytest.raises(MalformedMessage, match=field):
        wire.parse_message(raw(CHANGE, **changed))


@pytest.mark.parametrize(("field", "changed"), MALFORMED_STATES.values(), ids=MALFORMED_STATES.keys())
def test_malformed_state_names_the_field(field: str, changed: dict[str, object]) -> None:
    state = {key: value for key, value in {**USER_STATE, **changed}.items() if value is not ...}
    with pytest.raises(MalformedMessage, match=field):
        wire.parse_message(raw(CHANGE, entities=[{**USER, "state": state}]))


NOT_JSON = [b"", b"{", b"\xff\xfe", b'{"v":1', b"[" * 100_000, b"9" * 5_000, raw(CHANGE)[:-1]]


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:8]))
def test_not_json(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        wire.parse_message(body)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(raw)
)
def test_nothing_else_is_ever_raised(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        wire.parse_message(body)


@given(
    st.sampled_from(sorted(CHANGE)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(USER)), inner, max_size=3)
        ),
        max_leaves=5,
    ),
)
def test_any_value_in_any_field_is_read_or_refused(field: str, value: object) -> None:
    try:
        message = wire.parse_message(raw(CHANGE, **{field: value}))
    except MalformedMessage:
        return
    assert isinstance(message, Change | Heartbeat)


def test_a_heartbeat_is_no_line_of_the_feed() -> None:
    with pytest.raises(MalformedMessage, match="type"):
        wire.parse_change(raw(HEARTBEAT))


def test_head() -> None:
    head = wire.parse_head(
        raw({"epoch": EPOCH, "revision": 42, "oldest": 3, "now": "1970-01-01T00:00:01.5Z"})
    )
    assert head == wire.Head(EPOCH, 42, 1.5)


def test_snapshot() -> None:
    head = wire.parse_snapshot_head(raw(SNAPSHOT))
    assert head == wire.SnapshotHead(Position(EPOCH, 42, AT), 2)
    entity = wire.parse_snapshot_line(raw({**USER, "revision": 7}), 42)
    assert entity == Entity(EntityKey("user", "17"), 7, user_17)
    assert wire.parse_snapshot_line(b'{"type":"end","entities":2}', 42) == SnapshotEnd(2)


MALFORMED_SNAPSHOT_LINES = {
    "no revision": raw(USER),
    "newer than the whole": raw({**USER, "revision": 43}),
    "a second head": raw(SNAPSHOT),
    "end without a count": b'{"type":"end"}',
    "cut off": raw({**USER, "revision": 7})[:-3],
}


@pytest.mark.parametrize("line", MALFORMED_SNAPSHOT_LINES.values(), ids=MALFORMED_SNAPSHOT_LINES.keys())
def test_malformed_snapshot_line(line: bytes) -> None:
    with pytest.raises(MalformedMessage):
        wire.parse_snapshot_line(line, 42)


@pytest.mark.parametrize(
    "changed", [{"type": "change"}, {"v": 2}, {"entities": -1}, {"at": 7}, {"epoch": None}]
)
def test_malformed_snapshot_head(changed: dict[str, object]) -> None:
    with pytest.raises(MalformedMessage, match=next(iter(changed))):
        wire.parse_snapshot_head(raw(SNAPSHOT, **changed))


def test_subject_with_its_groups() -> None:
    answer = wire.parse_subject(raw(SUBJECT), "17")
    assert set(answer.entities) == {
        Entity(EntityKey("user", "17"), 7, user_17),
        Entity(EntityKey("group", "3"), 9, group_3),
    }


def test_group_that_the_answer_lacks_is_known_not_to_exist() -> None:
    answer = wire.parse_subject(raw(SUBJECT, entities=[{**USER, "revision": 7}]), "17")
    assert Entity(EntityKey("group", "3"), 42, None) in answer.entities


def test_no_subject_is_as_new_as_the_answer() -> None:
    answer = wire.parse_no_subject(raw({"epoch": EPOCH, "revision": 42, "sub": "17", "code": "x"}), "17")
    assert answer.entities == (Entity(EntityKey("user", "17"), 42, None),)


@pytest.mark.parametrize("parse", [wire.parse_subject, wire.parse_no_subject])
def test_answer_about_somebody_else(parse: object) -> None:
    with pytest.raises(MalformedMessage, match="sub"):
        parse(raw(SUBJECT), "18")  # type: ignore[operator]


def test_subject_without_its_user() -> None:
    with pytest.raises(MalformedMessage, match="user itself"):
        wire.parse_subject(raw(SUBJECT, entities=[{**GROUP, "revision": 9}]), "17")


def test_check() -> None:
    body = raw({"allowed": True, "reason": "granted", "epoch": EPOCH, "revision": 42})
    assert wire.parse_check(body) == wire.CheckAnswer(True, "granted", EPOCH, 42)


@pytest.mark.parametrize("allowed", [1, "true", None])
def test_check_is_allowed_only_by_true(allowed: object) -> None:
    with pytest.raises(MalformedMessage, match="allowed"):
        wire.parse_check(raw({"allowed": allowed, "reason": "granted", "epoch": EPOCH, "revision": 42}))
