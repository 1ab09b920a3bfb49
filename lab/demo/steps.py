"""The walk-through: what the system promises, shown one promise at a time."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import IncompleteRead
from statistics import median

from lab.demo import calls, operating
from lab.demo.calls import CallCounter
from lab.demo.operating import Admin
from lab.demo.screen import Screen
from lab.demo.student import DemoStudent
from lab.stack.client import Answer, Client, People
from lab.stack.process import StackError
from lab.stack.services import Sidecar, UserService

PERMISSION = "students.add_student"
ROUNDS = 10
"""How often the time to the first refusal is measured again after the first time."""
CHANGES = 50
"""How many changes are sent to count the calls that they cause."""
GIVE_UP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Insight:
    """What can be seen of the system from within, and stopped."""

    count_calls: CallCounter
    counted_by: str
    user_service: UserService | None = None
    """`None` when it is not ours to stop."""
    asking_sidecar: Sidecar | None = None
    """A second sidecar that asks the User service at every change (AUTHZ_VALIDATION=request)."""
    shadow_sidecar: Sidecar | None = None
    """A third one that refuses nothing (AUTHZ_MODE=shadow)."""
    admin: Admin | None = None
    """`None` where nobody has said the token of the admin port."""


class Walkthrough:
    """Raises StackError at the first answer that is not the promised one."""

    def __init__(self, people: People, sidecar: Client, insight: Insight, screen: Screen) -> None:
        self._people = people
        self._sidecar = sidecar
        self._insight = insight
        self._screen = screen
        self._student = DemoStudent(sidecar)
        self._alice = people.id_of("alice")
        self._alices_path = f"/api/users/{self._alice}/"
        self._grant_path = f"{self._alices_path}permissions/{PERMISSION}/"
        self._alices_token = ""

    def run(self) -> None:
        self._reset_alice()
        self._alices_token = self._people.token("alice")
        self._reads_pass()
        self._changes_need_a_token()
        self._changes_need_the_permission()
        self._a_grant_holds()
        self._a_revocation_holds()
        self._a_deactivated_user_is_out()
        self._decisions_go_on_without_the_user_service()
        self._calls_are_counted()
        operating.explain(self._screen, self._insight.admin, self._people.id_of("carol"), self._student.path)
        carol = self._people.token("carol")
        operating.shadow(self._screen, self._student, carol, self._insight.shadow_sidecar)
        self._student.delete(self._people.token("admin")).demand("deleting the demo's student", 204)
        self._reset_alice()

    def _reads_pass(self) -> None:
        self._screen.step("Anybody may read")
        answer = self._sidecar.send("GET", "/students/?page_size=1").demand("a read", 200)
        self._show("GET /students/?page_size=1", answer, 200, remark=f"{answer.json()['count']} students")

    def _changes_need_a_token(self) -> None:
        self._screen.step("A change without a token is refused")
        self._show("POST /students/", self._student.create(), 401)

    def _changes_need_the_permission(self) -> None:
        self._screen.step(f"A change by alice, who lacks {PERMISSION}, is refused")
        self._show("POST /students/  as alice", self._create(), 403)

    def _a_grant_holds(self) -> None:
        self._screen.step("The permission is granted: the same change goes through")
        granted = self._people.grant(self._alice, PERMISSION)
        revision = granted.headers.get("authz-revision", "")
        self._show(f"PUT {self._grant_path}", granted, 200, remark=f"revision {revision}")
        created = self._create({"Authz-Min-Revision": revision})
        self._show("POST /students/  as alice", created, 201, remark="at that or a newer one")

    def _a_revocation_holds(self) -> None:
        self._screen.step("The permission is revoked: the same change is refused again")
        revoked, refused, passed = self._revoke()
        self._show(f"DELETE {self._grant_path}", revoked, 204)
        self._show("POST /students/  as alice", refused, 403)
        gap = _milliseconds(revoked, refused)
        self._screen.result(f"first refusal {gap:.1f} ms after the revoking answer; {passed} passed before")
        again = [self._measure_again() for _ in range(ROUNDS)]
        self._screen.note(f"{ROUNDS} times more: median {median(again):.1f} ms, slowest {max(again):.1f} ms")

    def _a_deactivated_user_is_out(self) -> None:
        self._screen.step("alice gets it back, then is deactivated: her still-valid token dies")
        self._grant()
        self._show(f"POST {self._alices_path}deactivate/", self._people.deactivate(self._alice), 200)
        refused, _passed = self._first_refusal()
        self._show("POST /students/  as alice", refused, 401, 403)
        left = _seconds_left(self._alices_token)
        self._screen.note(f"the token would have been valid for {left:.0f} s more")

    def _decisions_go_on_without_the_user_service(self) -> None:
        self._screen.step("The User service is stopped: decisions go on")
        service = self._insight.user_service
        if service is None:
            self._screen.note("skipped: it is not ours to stop")
            return
        bob, carol = self._people.token("bob"), self._people.token("carol")
        service.stop()
        self._show(f"PATCH {self._student.path}  as bob", self._student.enrol(bob), 200)
        self._show(f"PATCH {self._student.path}  as carol", self._student.enrol(carol), 403)
        service.start()
        self._screen.note("started again; after AUTHZ_MAX_STALENESS without it, changes would have got 503")

    def _calls_are_counted(self) -> None:
        self._screen.step(f"What {CHANGES} changes cost the User service")
        bob = self._people.token("bob")
        self._count("cached, event-fed", self._sidecar, bob, promised=0)
        asking = self._insight.asking_sidecar
        if asking is None:
            self._screen.note("request-based: skipped, it takes a second sidecar")
        else:
            self._count("request-based", Client(asking.url), bob, promised=CHANGES)
        self._screen.note(f"counted by {self._insight.counted_by}")

    def _count(self, name: str, sidecar: Client, token: str, *, promised: int) -> None:
        before = self._insight.count_calls()
        times = []
        for _ in range(CHANGES):
            answer = self._student.enrol(token, through=sidecar)
            times.append(answer.demand(f"{name}: a change", 200).milliseconds)
        made = calls.between(before, self._insight.count_calls())
        self._screen.result(
            f"{name:<18} {made.caused:3} calls, and {made.background} in the background;"
            f" median {median(times):.1f} ms a change"
        )
        if made.caused != promised:
            raise StackError(f"{name}: {made.caused} calls, expected {promised}")

    def _reset_alice(self) -> None:
        """As she was in the beginning: she may sign in, and has no permission."""
        self._people.activate(self._alice).demand("activating alice", 200)
        self._people.revoke(self._alice, PERMISSION).demand("revoking", 204)

    def _create(self, headers: Mapping[str, str] | None = None) -> Answer:
        return self._student.create(self._alices_token, headers)

    def _grant(self) -> None:
        """Returns when the sidecar decides by the grant."""
        granted = self._people.grant(self._alice, PERMISSION).demand("granting", 200)
        again = self._create({"Authz-Min-Revision": granted.headers["authz-revision"]})
        again.demand("a granted change, made again", 400)

    def _revoke(self) -> tuple[Answer, Answer, int]:
        """The revoking answer, the first refusal, and how many changes passed before it."""
        revoked = self._people.revoke(self._alice, PERMISSION).demand("revoking", 204)
        return revoked, *self._first_refusal()

    def _measure_again(self) -> float:
        self._grant()
        revoked, refused, _passed = self._revoke()
        return _milliseconds(revoked, refused)

    def _first_refusal(self) -> tuple[Answer, int]:
        """A revocation also cuts off the answer that is under way when it arrives; the next one tells why."""
        ends, passed = time.monotonic() + GIVE_UP_SECONDS, 0
        while time.monotonic() < ends:
            try:
                answer = self._create()
            except (ConnectionError, IncompleteRead):
                self._sidecar.close()
                continue
            if answer.status != 400:
                return answer.demand("the first refusal", 401, 403), passed
            passed += 1
        raise StackError(f"not refused within {GIVE_UP_SECONDS:g} s")

    def _show(self, request: str, answer: Answer, *statuses: int, remark: str = "") -> None:
        self._screen.exchange(request, answer, remark or answer.code)
        answer.demand(request, *statuses)


def _milliseconds(earlier: Answer, later: Answer) -> float:
    """Between two answers, as their client received them."""
    return (later.received_at - earlier.received_at) * 1000


def _seconds_left(token: str) -> float:
    """Until a token expires by its own account."""
    payload = token.split(".")[1]
    claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return float(claims["exp"]) - time.time()
