"""What it costs the User service to compare all of its log with its tables, on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

from lab.bench.figures import Bar, percentile
from lab.bench.host import Cores
from lab.bench.result import Result
from lab.bench.world import django_script
from lab.stack.process import StackError
from lab.stack.servers import PostgreSQL
from lab.stack.services import UserService

USERS, QUICK_USERS = 1_000_000, 20_000
AUDIT_SECONDS = 600
"""`AUTHZ_AUDIT_SECONDS` of the User service, as it is by default."""
SHARE = 5.0
"""Per cent of one core, Python and database together."""
STEP_MS = 20.0
PROOF_SECONDS = 60.0
"""In which all users are compared after the triggers were touched."""
REWRITTEN_SECONDS = 5.0
"""What keeps every row costs no more."""


def run(_: Cores, *, quick: bool, progress: Callable[[str], object]) -> Result:
    users = QUICK_USERS if quick else USERS
    with PostgreSQL() as server, closing(UserService(server.url)) as service:
        service.manage("migrate", "--noinput")
        progress(f"comparing {users} users")
        with django_script(service, "audit_pass.py", str(users)) as process:
            output, _errors = process.communicate()
    if process.returncode:
        raise StackError(f"the audit failed with exit code {process.returncode}")
    return _result(users, json.loads(output))


def _result(users: int, measured: dict[str, Any]) -> Result:
    python, database, steps = (
        measured[key] for key in ("python_seconds", "database_seconds", "step_seconds")
    )
    share = (python + database) / AUDIT_SECONDS * 100
    median = percentile(steps, 50) * 1000
    bars = [
        Bar(f"share of one core at AUTHZ_AUDIT_SECONDS={AUDIT_SECONDS}", SHARE, share, "%"),
        Bar("a step, p50", STEP_MS, median, "ms"),
        Bar("proof after triggers were off and on again", PROOF_SECONDS, measured["proof_seconds"], "s"),
        Bar("proof after VACUUM FULL", REWRITTEN_SECONDS, measured["rewritten_seconds"], "s"),
    ]
    facts = {
        "users": f"{users:,}",
        "CPU of a pass, s: Python, database": f"{python:.1f}, {database:.1f}",
        "steps of a pass": len(steps),
        "a step, ms: p50, p99, most": ", ".join(
            f"{percentile(steps, at) * 1000:.1f}" for at in (50, 99, 100)
        ),
        "differences found": measured["found"],
    }
    return Result("Audit", bars, facts)
