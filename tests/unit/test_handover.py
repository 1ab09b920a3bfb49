"""What the older version finds when it looks, whatever a newer one does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_sidecar.handover import ENDED, HANDED, MOST_SECONDS, TAKEN, Handover, Predecessor


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def older(tmp_path: Path, listening: socket.socket, time: Time) -> Iterator[Handover]:
    made = Handover(tmp_path / "path", [listening], time)
    yield made
    made.close()


def connected(path: Path) -> socket.socket:
    """One that says nothing."""
    made = socket.socket(socket.AF_UNIX)
    made.connect(str(path))
    return made


def test_it_hands_the_sockets_over_and_is_told_when_they_are_used(
    older: Handover, tmp_path: Path, listening: socket.socket
) -> None:
    assert older.look() is None
    with connected(tmp_path / "path") as newer:
        assert older.look() == HANDED
        _, (descriptor,), *_ = socket.recv_fds(newer, 1, 8)
        with socket.socket(fileno=descriptor) as handed:
            assert handed.getsockname() == listening.getsockname()
        assert older.look() is None
        newer.sendall(b"live\n")
        assert older.look() == TAKEN


@pytest.mark.parametrize("said", [b"", b"liv", b"dead\n"])
def test_one_that_ends_before_it_is_live_is_forgotten(older: Handover, tmp_path: Path, said: bytes) -> None:
    for _ in range(2):
        with connected(tmp_path / "path") as newer:
            assert older.look() == HANDED
            newer.sendall(said)
        assert older.look() == ENDED
    assert older.look() is None


def test_one_that_hangs_blocks_the_next_for_some_time_only(
    older: Handover, tmp_path: Path, time: Time
) -> None:
    with connected(tmp_path / "path"), connected(tmp_path / "path"):
        assert older.look() == HANDED
        assert older.look() is None
        time.now += MOST_SECONDS
        assert older.look() == ENDED
        assert older.look() == HANDED


def test_the_path_belongs_to_the_newest(older: Handover, tmp_path: Path, listening: socket.socket) -> None:
    newest = Handover(tmp_path / "path", [listening], Time())
    older.close()
    assert (tmp_path / "path").exists()
    newest.close()
    assert not (tmp_path / "path").exists()


def test_a_process_that_was_forked_takes_nothing_with_it(
    older: Handover, tmp_path: Path, listening: socket.socket
) -> None:
    older.disown()
    assert (tmp_path / "path").exists()
    predecessor = Predecessor(tmp_path / "path")
    assert predecessor.sockets == [], "nobody accepts there any more"
    predecessor.disown()
