"""Results that are remembered, within a bound of bytes: what is remembered comes from whoever sends requests.

A bound in entries would be none, because each may be as large as a request's head. So what an entry takes
in memory is counted, and a large one is not kept at all. There are two generations: once the young one is
full it becomes the old one, and the former old one is forgotten. What is asked for again meanwhile is young
again. A hit therefore costs one look into one dictionary, and forgetting costs next to nothing per entry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")

LARGEST_ENTRY: Final = 2 * 1024
ENTRY_OVERHEAD: Final = 128
"""What an entry takes of its dictionary's table, which doubles in size, at most."""
OBJECT_BYTES: Final = 64
"""What any object takes beside its content, mostly."""
ITEM_BYTES: Final = 64
"""What an item takes in the table of a set, which doubles in size, at most; in a tuple it is 8."""

_ABSENT: Final = object()


class Remembered(dict[K, V]):
    """What `function` makes of a key, asked once and then remembered. What it raises is not remembered.

    To be asked by `remembered[key]` only. As a dictionary it is the young generation.
    """

    def __init__(
        self, function: Callable[[K], V], max_bytes: int, *, largest_entry: int = LARGEST_ENTRY
    ) -> None:
        self._function = function
        self._generation_bytes = max_bytes // 2
        self._largest_entry = largest_entry
        self._old: dict[K, V] = {}
        self._young_bytes = 0
        self._old_bytes = 0

    @property
    def held_bytes(self) -> int:
        """What all that is remembered takes in memory."""
        return self._young_bytes + self._old_bytes

    def __missing__(self, key: K) -> V:
        found = self._old.get(key, _ABSENT)
        value = self._function(key) if found is _ABSENT else cast(V, found)
        if memory_of(key) <= self._largest_entry:  # else it is not even worth measuring what it leads to
            size = _entry_bytes(key, value)
            if size <= self._largest_entry:
                self._keep(key, value, size)
        return value

    def forget(self, key: K) -> None:
        """Ask anew the next time."""
        if (value := self.pop(key, _ABSENT)) is not _ABSENT:
            self._young_bytes -= _entry_bytes(key, value)
        if (value := self._old.pop(key, _ABSENT)) is not _ABSENT:
            self._old_bytes -= _entry_bytes(key, value)

    def _keep(self, key: K, value: V, size: int) -> None:
        if self._young_bytes + size > self._generation_bytes:
            self._old, self._old_bytes = dict(self), self._young_bytes
            self.clear()
            self._young_bytes = 0
        self[key] = value
        self._young_bytes += size


def _entry_bytes(key: object, value: object) -> int:
    return memory_of(key) + memory_of(value) + ENTRY_OVERHEAD


def memory_of(value: object) -> int:
    """About the bytes that a value takes in memory, with what is in it, and rather too many."""
    if isinstance(value, bytes):
        return OBJECT_BYTES + len(value)
    if isinstance(value, str):
        return OBJECT_BYTES + (len(value) if value.isascii() else 4 * len(value))
    size = OBJECT_BYTES
    if isinstance(value, tuple | frozenset):
        for each in value:
            size += ITEM_BYTES + memory_of(each)
    return size
