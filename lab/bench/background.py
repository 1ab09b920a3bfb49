"""A steady load in a process of its own, until its standard input ends; then its statuses as JSON.

python -m lab.bench.background HOST PORT RATE FILE_OF_TOKENS
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import ROOT
from lab.bench import pace

CHUNK_SECONDS = 1.0


@contextmanager
def running(address: tuple[str, int], rate: float, tokens: Path) -> Iterator[Counter[int]]:
    """While entered, the load runs. What it was answered is in the counter afterwards."""
    host, port = address
    argv = [sys.executable, "-m", "lab.bench.background", host, str(port), str(rate), str(tokens)]
    child = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    statuses: Counter[int] = Counter()
    try:
        yield statuses
    finally:
        output, _ = child.communicate()
    statuses.update({int(status): count for status, count in json.loads(output).items()})


def main(host: str, port: str, rate: str, tokens: str) -> None:
    messages = pace.messages(host, Path(tokens).read_text().split())
    ended = threading.Event()
    threading.Thread(target=_await_end, args=[ended], daemon=True).start()
    statuses: Counter[int] = Counter()
    while not ended.is_set():
        statuses += pace.run((host, int(port)), messages, float(rate), CHUNK_SECONDS).statuses
    json.dump(statuses, sys.stdout)


def _await_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
