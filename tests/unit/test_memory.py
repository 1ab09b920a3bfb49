"""What was used for a while goes back to the system."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from authz_sidecar.memory import Memory

MIB = 1024 * 1024
PIECE_BYTES = 100_000
PIECES = 600

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another C library than glibc"
)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_a_burst_took_goes_back_although_something_behind_it_stays() -> None:
    memory = Memory()
    burst = [b"x" * PIECE_BYTES for _ in range(PIECES)]
    stays = bytes(PIECE_BYTES // 2)
    memory.look()
    before = resident_bytes()
    burst.clear()
    memory.look()
    assert before - resident_bytes() > PIECES * PIECE_BYTES * 0.8
    assert len(stays) == PIECE_BYTES // 2
