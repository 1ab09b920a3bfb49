"""The near cache stands at exactly one position, whatever copies it is filled from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.core.entities import Change, Entity, EntityKey, GroupState, Position, UserState
from authz_sidecar.replica import history
from authz_sidecar.replica.history import History
from authz_sidecar.replica.near_cache import NearCache

EPOCH = "3f2a9c1b-0000-4000-8000-000000000001"
OTHER = "99999999-0000-4000-8000-000000000002"


def at(revision: int) -> str:
    return f"2026-11-22T09:00:00.{revision:06}Z"


def position(revision: int, epoch: str = EPOCH) -> Position:
    return Position(epoch, revision, at(revision))


def group(name: str, revision: int) -> Entity:
    return Entity(EntityKey("group", name), revision, GroupState(frozenset({f"p.{revision}"})))


def change(revision: int, *names: str) -> Change:
    return Change(
        Position(EPOCH, revision, at(revision)), None, tuple(group(name, revision) for name in names)
    )


@pytest.fixture
def near() -> NearCache:
    """It stands at revision 12; group a last changed at 12, b at 11."""
    made = NearCache(size=100)
    made.restart(position(10))
    made.apply(change(11, "a", "b"))
    made.apply(change(12, "a"))
    return made


def test_what_is_at_hand_follows_the_changes(near: NearCache) -> None:
    near.admit([group("a", 12)], position(12))
    near.apply(change(13, "a"))
    assert near.entity(EntityKey("group", "a")) == group("a", 13)


def test_a_revision_is_taken_over_whole(near: NearCache) -> None:
    near.admit([group("a", 12), group("b", 11)], position(12))
    near.apply(change(13, "a", "b"))
    assert [near.entity(EntityKey("group", name)) for name in "ab"] == [group("a", 13), group("b", 13)]


def test_what_is_not_at_hand_is_not_taken_in(near: NearCache) -> None:
    near.apply(change(13, "a"))
    assert near.entity(EntityKey("group", "a")) is None


def test_a_known_absence_ends_with_the_next_change(near: NearCache) -> None:
    absent = Entity(EntityKey("group", "new"), 12, None)
    assert near.admit([absent], position(12))
    assert near.entity(absent.key) == absent
    near.apply(change(13, "new"))
    assert near.entity(absent.key) == group("new", 13)


ADMISSIONS = {
    "copy where we are": (group("a", 12), position(12), group("a", 12)),
    "copy ahead, which may have come another way": (group("b", 11), position(20), None),
    "copy ahead, entity newer than us": (group("b", 15), position(20), None),
    "copy behind, entity changed since": (group("a", 11), position(11), group("a", 12)),
    "copy behind, entity not changed since": (group("c", 3), position(10), group("c", 3)),
    "copy behind what is retained": (group("c", 3), position(9), None),
    "copy of another epoch": (group("a", 12), position(12, OTHER), None),
    "copy of a history that split": (group("a", 12), Position(EPOCH, 12, at(99)), None),
    "copy behind of a history that split": (group("a", 11), Position(EPOCH, 11, at(99)), None),
    "copy whose time is not known": (group("a", 11), Position(EPOCH, 11, None), group("a", 12)),
}


@pytest.mark.parametrize(("found", "read_at", "expected"), ADMISSIONS.values(), ids=ADMISSIONS.keys())
def test_admission(near: NearCache, found: Entity, read_at: Position, expected: Entity | None) -> None:
    assert near.admit([found], read_at) is (expected is not None)
    assert near.entity(found.key) == expected


def test_nothing_is_admitted_before_there_is_a_position() -> None:
    near = NearCache(size=10)
    assert not near.admit([group("a", 1)], position(12))


def test_a_restart_forgets_everything(near: NearCache) -> None:
    near.admit([group("a", 12)], position(12))
    near.restart(position(3, OTHER))
    assert near.entity(EntityKey("group", "a")) is None
    assert len(near) == 0


def test_the_least_recently_used_goes_first() -> None:
    near = NearCache(size=2)
    near.restart(position(10))
    near.admit([group("a", 1), group("b", 2)], position(10))
    assert near.entity(EntityKey("group", "a"))
    near.admit([group("c", 3)], position(10))
    assert [near.entity(EntityKey("group", name)) is not None for name in "abc"] == [True, False, True]
    assert len(near) == 2


def user(revision: int, groups: int) -> Entity:
    names = frozenset(map(str, range(groups)))
    return Entity(EntityKey("user", "u"), revision, UserState(True, False, frozenset(), names, 0))


def test_a_user_and_all_its_groups_are_at_hand_together() -> None:
    """Whether all come at once, or one by one in the middle of much else; and with new groups, too."""
    near = NearCache(size=10)
    near.restart(position(10))
    groups = [group(str(number), 2) for number in range(30)]
    near.admit([user(1, 20), *groups[:20]], position(10))
    assert all(near.entity(entity.key) for entity in (user(1, 20), *groups[:20]))
    near.apply(Change(position(11), None, (user(11, 30),)))
    for number, each in enumerate(groups[20:]):
        near.admit([each, group(f"other {number}", 3)], position(11))
    assert near.entity(user(11, 30).key) == user(11, 30)
    assert all(near.entity(entity.key) for entity in groups)
    near.admit([group(f"another {number}", 3) for number in range(100)], position(11))
    assert len(near) == 2 * 31


@given(
    st.lists(st.frozensets(st.sampled_from("abc"), min_size=1), min_size=1, max_size=12),
    st.data(),
)
def test_any_admissible_read_is_right(changes: list[frozenset[str]], data: st.DataObject) -> None:
    """A copy at any revision, read at any moment, is either refused or makes us know what the log says."""
    log = [change(revision, *sorted(names)) for revision, names in enumerate(changes, 1)]
    ours = data.draw(st.integers(0, len(log)), "ours")
    theirs = data.draw(st.integers(0, len(log)), "theirs")
    near = NearCache(size=10)
    near.restart(position(0))
    for each in log[:ours]:
        near.apply(each)

    def state(revision: int) -> dict[EntityKey, Entity]:
        return {entity.key: entity for each in log[:revision] for entity in each.entities}

    for key, entity in state(theirs).items():
        if near.admit([entity], position(theirs)):
            assert near.entity(key) == state(ours)[key]
        else:
            assert theirs > ours


class TestHistory:
    def test_changes_after_a_position(self) -> None:
        run = History(position(10))
        assert run.after(position(10)) == []
        run.append(change(11, "a"))
        run.append(change(12, "a"))
        assert run.end == position(12)
        assert run.after(position(10)) == [change(11, "a"), change(12, "a")]
        assert run.after(position(12)) == []

    @pytest.mark.parametrize(
        "elsewhere", [position(9), position(13), position(11, OTHER), Position(EPOCH, 11, at(1))]
    )
    def test_a_position_elsewhere(self, elsewhere: Position) -> None:
        run = History(position(10))
        for revision in (11, 12):
            run.append(change(revision, "a"))
        assert run.after(elsewhere) is None

    def test_it_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(history, "MAX_ENTITIES", 4)
        run = History(position(10))
        for revision in (11, 12, 13):
            run.append(change(revision, "a", "b"))
        assert run.after(position(10)) is None
        assert run.after(position(11)) == [change(12, "a", "b"), change(13, "a", "b")]
