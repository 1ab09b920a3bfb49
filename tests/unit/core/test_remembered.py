"""What is remembered stays within its bytes, whatever is asked for."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.core import fields, headers, target
from authz_sidecar.core.errors import Refused
from authz_sidecar.core.remembered import LARGEST_ENTRY, Remembered, memory_of


class Doubled:
    """A function that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, key: str) -> str:
        self.asked[key] += 1
        return key + key


def test_it_is_asked_once() -> None:
    doubled = Doubled()
    remembered = Remembered(doubled, 64 * 1024)
    assert [remembered["a"], remembered["a"], remembered["b"]] == ["aa", "aa", "bb"]
    assert doubled.asked == {"a": 1, "b": 1}


def test_nothing_is_a_result_too() -> None:
    asked: list[str] = []
    remembered: Remembered[str, None] = Remembered(asked.append, 64 * 1024)
    assert [remembered["a"], remembered["a"]] == [None, None]
    assert asked == ["a"]


def test_a_failure_is_not_remembered() -> None:
    def fail(key: str) -> str:
        raise ValueError(key)

    remembered = Remembered(fail, 64 * 1024)
    with pytest.raises(ValueError, match="a"):
        _ = remembered["a"]
    assert not remembered


def test_a_large_entry_is_not_kept() -> None:
    doubled = Doubled()
    remembered = Remembered(doubled, 64 * 1024)
    for size in (LARGEST_ENTRY // 2, LARGEST_ENTRY):
        assert remembered["x" * size] == "x" * 2 * size
    assert (remembered.held_bytes, len(remembered)) == (0, 0)


def test_what_is_asked_for_again_stays() -> None:
    doubled = Doubled()
    remembered = Remembered(doubled, 8 * 1024)
    for number in range(1000):
        assert remembered["often"] == "oftenoften"
        assert remembered[str(number)] == 2 * str(number)
    assert doubled.asked["often"] == 1


@given(st.lists(st.text(max_size=2000)), st.integers(4096, 16384))
def test_the_bound_holds(keys: list[str], max_bytes: int) -> None:
    remembered = Remembered(Doubled(), max_bytes)
    for key in keys:
        assert remembered[key] == key + key
        assert remembered.held_bytes <= max_bytes


def test_what_is_forgotten_is_asked_anew_and_takes_nothing() -> None:
    doubled = Doubled()
    remembered = Remembered(doubled, 2 * 1024)
    for number in range(8):
        assert remembered[str(number)] == 2 * str(number)
    for number in range(8):
        remembered.forget(str(number))
    assert (remembered.held_bytes, len(remembered)) == (0, 0)
    assert remembered["7"] == "77"
    assert doubled.asked["7"] == 2


def test_memory_counts_what_is_inside() -> None:
    inside = b"x" * 1000
    assert memory_of((inside, frozenset({inside + b"y"}))) > 2000


# What clients choose, and so could fill memory with.


def _name(number: int, size: int) -> bytes:
    return b"%d" % number + b"x" * size


def _removed(key: bytes) -> object:
    return headers.forwarded_response(fields.of_response([(b"Connection", key)]))


def _options(number: int, size: int) -> bytes:
    return b",".join(b"%d.%d" % (number, option) for option in range(size // 8))


def _path(key: bytes) -> object:
    try:
        return target.path(b"/" + key)
    except Refused:
        return None


FILLED: dict[str, tuple[Callable[[bytes], object], Callable[[int, int], bytes]]] = {
    "options of Connection": (_removed, _options),
    "names in requests": (lambda name: fields.of_request([(name, b"")]), _name),
    "names in responses": (lambda name: fields.of_response([(name, b"")]), _name),
    "targets": (_path, _name),
}


@pytest.mark.parametrize("kind", FILLED)
@pytest.mark.parametrize("size", [60, 1000, 16_000])
def test_what_clients_choose_fills_little(kind: str, size: int) -> None:
    fill, key = FILLED[kind]
    tracemalloc.start()
    try:
        for number in range(200):
            fill(key(number, size))
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held <= 1024 * 1024
