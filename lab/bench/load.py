"""Closed-loop load: as many requests as the proxy answers, by wrk."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.stack.binaries import require

SCRIPT = Path(__file__).with_name("wrk.lua")
CONNECTIONS = 32
TARGET = "/students/"
BODY = json.dumps(
    {"name": "Ada Lovelace", "roll_number": "A-1815", "email": "ada@example.org", "status": "enrolled"}
)


@dataclass(frozen=True)
class Load:
    """What a run sent and what came back; times in seconds."""

    requests: int
    seconds: float
    bad_status: int
    broken: int
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def run(address: str, tokens: Path, seconds: float, connections: int = CONNECTIONS) -> Load:
    argv = [
        *(require("wrk"), "--threads", "1", "--connections", str(connections)),
        *("--duration", f"{max(1, round(seconds))}s", "--timeout", "10s", "--script", str(SCRIPT)),
        *(f"http://{address}{TARGET}", "--", str(tokens), TARGET, BODY),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return Load(**json.loads(done.stdout.strip().splitlines()[-1]))
