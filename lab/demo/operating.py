"""What an operator asks: why was this refused, and what would be refused?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass

from lab.demo.screen import Screen
from lab.demo.student import DemoStudent
from lab.stack.client import Client, call
from lab.stack.process import StackError
from lab.stack.services import Sidecar

_WOULD_REFUSE = re.compile(
    r'^authz_rule_decisions_total\{outcome="would_refuse",rule="([^"]+)"\} ([1-9]\S*)$', re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Admin:
    """The sidecar's admin port, and the token that opens what it has to tell."""

    url: str
    token: str


def explain(screen: Screen, admin: Admin | None, subject: int, path: str) -> None:
    """A change that somebody may not make, explained by the command that an operator would use."""
    screen.step("Why is carol refused? One command tells")
    if admin is None:
        screen.note("skipped: AUTHZ_ADMIN_TOKEN does not say the token of the sidecar's admin port")
        return
    asked = ["explain", "--subject", str(subject), "PATCH", path]
    done = subprocess.run(
        [sys.executable, "-m", "authz_sidecar", *asked, "--admin", admin.url],
        env={**os.environ, "AUTHZ_ADMIN_TOKEN": admin.token},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 1:
        raise StackError(f"explain: exit code {done.returncode}, expected 1 (refused)\n{done.stderr}")
    screen.note(f"$ authz-sidecar {' '.join(asked)}")
    for line in done.stdout.splitlines():
        screen.note(f"  {line}")


def shadow(screen: Screen, student: DemoStudent, token: str, sidecar: Sidecar | None) -> None:
    """The same change through a sidecar that refuses nothing yet, and what it says of it."""
    screen.step("Is it safe to turn on? A sidecar in shadow mode decides and refuses nothing")
    if sidecar is None:
        screen.note("skipped: it takes a second sidecar")
        return
    answer = student.enrol(token, through=Client(sidecar.url)).demand("a change in shadow mode", 200)
    screen.exchange(f"PATCH {student.path}  as carol, in shadow mode", answer, "let through, and counted")
    counted = _WOULD_REFUSE.findall(call(f"{sidecar.admin_url}/metrics").body.decode())
    if not counted:
        raise StackError("shadow mode: the change was not counted as one that would be refused")
    for rule, times in counted:
        screen.result(f"would_refuse {float(times):.0f}  {rule}")
    screen.note("`authz-sidecar readiness` judges a whole log of this: docs/operations.md")
