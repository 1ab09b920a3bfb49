"""Where records of TLS end."""

from __future__ import annotations

import pytest

from authz_sidecar.proxy.secured import whole_records

ONE = b"\x16\x03\x01\x00\x04abcd"
LONGEST = b"\x17\x03\x03\x48\x00"


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"", 0),
        (ONE[:4], 0),
        (ONE[:-1], 0),
        (ONE, len(ONE)),
        (ONE + ONE[:5], len(ONE)),
        (ONE * 3 + b"\x17", 3 * len(ONE)),
        (LONGEST + bytes(0x4800), 5 + 0x4800),
        (LONGEST, 0),
        (b"\x17\x03\x03\x48\x01", -1),
        (ONE + b"\x17\x03\x03\xff\xff", -1),
    ],
)
def test_whole_records(data: bytes, size: int) -> None:
    assert whole_records(data) == size
