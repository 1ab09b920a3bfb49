"""What a burst of clients took is given back to the system, and is not looked through for garbage.

What has been freed stays with the process in two ways. Large blocks, which the system hands out one by one,
are made of glibc's heap once one of them was freed, for the sake of speed; and of its heap glibc gives back
what is at the end only, so one block that is still used keeps all before it (mallopt(3), malloc_trim(3)). So
after thousands of clients with large buffers the memory that nobody holds would be counted as ours, and the
next burst would come on top of it. Another C library than glibc is left to its own ways.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from typing import Final, NoReturn

LARGE_BYTES: Final = 128 * 1024
"""Blocks of this size or more come from the system one by one, for good: what glibc begins with."""
WORTHWHILE_BYTES: Final = 16 * 1024 * 1024
LOOK_SECONDS: Final = 0.5
_M_MMAP_THRESHOLD: Final = -3


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` (mallinfo(3))."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    )


class Memory:
    """Of this process."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        self._libc = libc if hasattr(libc, "mallinfo2") else None
        if self._libc is not None:
            self._libc.mallinfo2.restype = _Mallinfo
            self._libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        self._least_free = self._free_bytes()

    def settle(self) -> None:
        """What is there by now stays.

        Looking through it for garbage again and again held up requests for 50 to 250 ms, whenever many
        clients came at once.
        """
        gc.collect()
        gc.freeze()
        self._trim()

    async def keep_small(self) -> NoReturn:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Give back what was used and is free again, if it is much: that takes some milliseconds."""
        free = self._free_bytes()
        self._least_free = min(self._least_free, free)
        if free - self._least_free >= WORTHWHILE_BYTES:
            self._trim()

    def _free_bytes(self) -> int:
        """Of the heap; some of it may have been given back."""
        return 0 if self._libc is None else int(self._libc.mallinfo2().fordblks)

    def _trim(self) -> None:
        if self._libc is not None:
            self._libc.malloc_trim(0)
        self._least_free = self._free_bytes()
