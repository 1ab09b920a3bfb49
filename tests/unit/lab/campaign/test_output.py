"""What a sidecar writes comes into its file, in time or late, and nothing of it is lost."""

from __future__ import annotations

import os
from pathlib import Path

from lab.campaign.output import Output


def test_what_is_written_while_nobody_reads_comes_later(tmp_path: Path) -> None:
    output = Output(tmp_path / "sidecar.decisions.jsonl")
    try:
        with output.pipe.open("ab", buffering=0) as pipe:
            pipe.write(b"one\n")
            output.drain()
            with output.blocked():
                os.set_blocking(pipe.fileno(), False)
                while pipe.write(b"x" * 4096) is not None:  # until the pipe is full
                    pass
                before = output.path.read_bytes()
        assert before.startswith(b"one\n")
        output.drain()
        assert output.path.stat().st_size > len(before)
        assert set(output.path.read_bytes()[4:]) == {ord("x")}
    finally:
        output.close()
