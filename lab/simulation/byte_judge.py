"""Judges what goes over the byte path against what was decided and against what was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from authz_sidecar.core.verdicts import Decision
from lab.simulation.cases import MARK, SAFE, Case
from lab.simulation.scheduler import Scheduler


class ByteJudge:
    """`say` is told what is wrong: nothing undecided goes on, nothing twice, no answer goes astray."""

    def __init__(self, scheduler: Scheduler, say: Callable[[str], None]) -> None:
        self.cases: dict[int, Case] = {}
        self.outcomes: Counter[str] = Counter()
        """How requests ended."""
        self._scheduler = scheduler
        self._say = say

    def case(self, request_id: str) -> Case | None:
        number = request_id.removeprefix("b")
        return self.cases.get(int(number)) if number.isdecimal() else None

    def decided(self, case: Case, decision: Decision) -> None:
        if decision.revoking:
            case.revoked_at = self._scheduler.now
        case.decisions.append(decision)

    # at the service

    def arrived(self, marks: Sequence[bytes], method: str, target: str) -> Case | None:
        """The head of a request has reached the service."""
        case = self.cases.get(int(marks[0])) if len(marks) == 1 and marks[0].isdigit() else None
        if case is None:
            self._say(f"the service got {method} {target}, which nobody sent")
            return None
        case.arrivals += 1
        if not case.decisions or not case.decisions[0].forward:
            self._say(f"the service got {case.request_id}, which was not let through")
        if (method, target) != (case.method, case.target):
            self._say(f"the service got {case.request_id} as {method} {target}")
        if case.arrivals > (2 if case.method in SAFE else 1):
            self._say(f"the service got {case.request_id} ({case.method}) {case.arrivals} times")
        return case

    def whole(self, case: Case, body: bytes) -> None:
        """The service has all of a request, and acts on it."""
        if case.all_sent_at is None or body != case.body:
            sent = f"{len(case.body)}, {'all' if case.all_sent_at else 'not all'} of them sent"
            self._say(f"the service took {len(body)} bytes for the body of {case.request_id}, not {sent}")
        elif case.revoked_at is not None and case.all_sent_at > case.revoked_at:
            self._say(f"the service got all of {case.request_id}, which was revoked before it was sent")

    def ended_in_the_middle(self, case: Case) -> None:
        """Servers that do not count take it for a whole request."""
        self._say(f"half of {case.request_id} was ended in order, as if it were whole")

    def malformed(self, error: str, case: Case | None) -> None:
        self._say(f"the service was sent what is not HTTP: {error}, after {case and case.request_id}")

    # at the client

    def answered(
        self, case: Case, status: int, fields: Mapping[bytes, bytes], body: bytes, *, blameless: bool
    ) -> None:
        """A client has a whole answer. `blameless`: nothing excuses that it is not the service's."""
        mark = fields.get(MARK.encode())
        if mark is None:
            self._judge_own(case, status, fields, body, blameless=blameless)
            return
        self.outcomes["answered by the service"] += 1
        if mark != b"%d" % case.number:
            self._say(f"{case.request_id} was given the answer to {mark.decode()}")
        elif (status, body) != case.answer:
            self._say(f"{case.request_id} was given another answer than the service's: {status}")

    def _judge_own(
        self, case: Case, status: int, fields: Mapping[bytes, bytes], body: bytes, *, blameless: bool
    ) -> None:
        name = fields.get(b"x-request-id", b"").decode()
        self.outcomes[f"answered {status} by the sidecar"] += 1
        unread = not case.decisions and self.case(name) is None  # its head has not arrived in full
        if name != case.request_id and not unread:
            self._say(f"{case.request_id} was given the sidecar's answer to {name}")
        refused = bool(case.decisions) and case.decisions[-1].status == status
        if not refused and blameless:
            self._say(f"{case.request_id} was answered {status} although all was well: {body.decode()}")

    def unanswered(self, case: Case, how: str, *, blameless: bool) -> None:
        """The connection has ended before the answer did."""
        self.outcomes[f"unanswered: {how}"] += 1
        if blameless and case.revoked_at is None:
            self._say(f"{case.request_id} was not answered although all was well: {how}")

    def malformed_answer(self, case: Case) -> None:
        self._say(f"{case.request_id} was answered by what is not HTTP")

    def astray(self, who: str, data: bytes) -> None:
        self._say(f"{who} answered what nobody asked: {data[:80]!r}")

    def hangs(self, case: Case, seconds: float) -> None:
        self._say(f"{case.request_id} has waited for {seconds:.0f} s, and nothing happens")
