"""Makes a failing plan as small as it can be and still fail in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from authz_sidecar.core.verdicts import Code
from lab.simulation.plan import Fault, Plan, Setup
from lab.simulation.run import Outcome, run

ATTEMPTS = 150
_PARTICULARS = re.compile(
    rf"[0-9][0-9a-f.:TZ-]*(?:, process [0-9]+|'s [a-z]+(?: [0-9]+)?)?|\{{.*|\(.*?\)|\b(?:{'|'.join(Code)})\b"
)


def kind_of(violation: str) -> str:
    """What is wrong, without times, numbers and codes."""
    return _PARTICULARS.sub("#", violation.split(" s: ", 1)[1])


class Shrinker:
    """`say` hears how it goes."""

    def __init__(self, failing: Outcome, say: Callable[[str], object] = lambda _: None) -> None:
        self.best = failing
        self._wanted = kind_of(failing.violations[0])
        self._say = say
        self._attempts = 0

    def shrink(self) -> Outcome:
        """The smallest that was found within so many attempts."""
        failed_at = float(self.best.violations[0].split(" s:", 1)[0])
        self._try(self._with([fault for fault in self.best.plan.faults if fault.at <= failed_at]))
        size = max(1, len(self.best.plan.faults) // 2)
        while size:
            if not self._remove_runs_of(size):
                size //= 2
        for name, value in (("sidecars", 1), ("sidecars", 2), ("users", 3), ("groups", 2), ("writes", 0.2)):
            self._simplify(name, value)
        return self.best

    def _remove_runs_of(self, size: int) -> bool:
        """Whether anything could be left out."""
        removed, start = False, 0
        while start < len(self.best.plan.faults):
            faults = list(self.best.plan.faults)
            if self._try(self._with(faults[:start] + faults[start + size :])):
                removed = True
            else:
                start += size
        return removed

    def _with(self, faults: list[Fault]) -> Plan:
        return replace(self.best.plan, faults=tuple(faults))

    def _simplify(self, name: str, value: float) -> None:
        setup = self.best.plan.setup
        if getattr(setup, name) > value:
            smaller: Setup = replace(setup, **{name: value})  # type: ignore[arg-type]  # names and types are above
            self._try(replace(self.best.plan, setup=smaller))

    def _try(self, plan: Plan) -> bool:
        if plan == self.best.plan or self._attempts >= ATTEMPTS:
            return False
        self._attempts += 1
        outcome = run(plan)
        if not outcome.violations or kind_of(outcome.violations[0]) != self._wanted:
            return False
        self.best = outcome
        self._say(f"{len(plan.faults)} faults")
        return True
