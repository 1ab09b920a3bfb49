"""The walk-through: what the system promises, shown one promise at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

from stack.services import Sidecar, UserService
from walkthrough import calls
from walkthrough.calls import CallCounter
from walkthrough.client import Answer, Client
from walkthrough.screen import Screen
from walkthrough.world import PERMISSION, Surprise, World, demand, seconds_left

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


class Walkthrough:
    """Raises Surprise at the first answer that is not the promised one."""

    def __init__(self, world: World, insight: Insight, screen: Screen) -> None:
        self._world = world
        self._insight = insight
        self._screen = screen
        self._alice = ""
        self._student_path = ""

    def run(self) -> None:
        self._world.reset_alice()
        self._alice = self._world.sign_in("alice")
        self._reads_pass()
        self._changes_need_a_token()
        self._changes_need_the_permission()
        self._a_grant_holds()
        self._a_revocation_holds()
        self._a_deactivated_user_is_out()
        self._decisions_go_on_without_the_user_service()
        self._calls_are_counted()
        self._world.delete_student(self._student_path)
        self._world.reset_alice()

    def _reads_pass(self) -> None:
        self._screen.step("Anybody may read")
        answer = self._world.students.send("GET", "/students/?page_size=1")
        self._show("GET /students/?page_size=1", answer, 200, remark=f"{answer.json['count']} students")

    def _changes_need_a_token(self) -> None:
        self._screen.step("A change without a token is refused")
        self._show("POST /students/", self._world.create_student(None), 401)

    def _changes_need_the_permission(self) -> None:
        self._screen.step(f"A change by alice, who lacks {PERMISSION}, is refused")
        self._show("POST /students/  as alice", self._world.create_student(self._alice), 403)

    def _a_grant_holds(self) -> None:
        self._screen.step("The permission is granted: the same change goes through")
        granted = self._world.grant()
        revision = granted.headers["Authz-Revision"]
        self._show(f"PUT {self._world.permission_path}", granted, 200, remark=f"revision {revision}")
        created = self._world.create_student(self._alice, {"Authz-Min-Revision": revision})
        self._show("POST /students/  as alice", created, 201, remark="at that or a newer one")
        self._student_path = f"/students/{created.json['id']}/"

    def _a_revocation_holds(self) -> None:
        self._screen.step("The permission is revoked: the same change is refused again")
        revoked, refused, passed = self._revoke()
        self._show(f"DELETE {self._world.permission_path}", revoked, 204)
        self._show("POST /students/  as alice", refused, 403)
        gap = _gap(revoked, refused)
        self._screen.result(
            f"first refusal {gap:.1f} ms after the revoking answer; {passed} passed before it"
        )
        again = [self._measure_again() for _ in range(ROUNDS)]
        self._screen.note(f"{ROUNDS} times more: median {median(again):.1f} ms, slowest {max(again):.1f} ms")

    def _a_deactivated_user_is_out(self) -> None:
        self._screen.step("alice gets it back, then is deactivated: her still-valid token dies")
        self._grant()
        deactivated = self._world.deactivate()
        self._show(f"POST {self._world.alice_path}deactivate/", deactivated, 200)
        refused, _passed = self._first_refusal()
        self._show("POST /students/  as alice", refused, 401, 403)
        self._screen.note(f"the token would have been valid for {seconds_left(self._alice):.0f} s more")

    def _decisions_go_on_without_the_user_service(self) -> None:
        self._screen.step("The User service is stopped: decisions go on")
        service = self._insight.user_service
        if service is None:
            self._screen.note("skipped: it is not ours to stop")
            return
        bob, carol = self._world.sign_in("bob"), self._world.sign_in("carol")
        service.stop()
        self._show(f"PATCH {self._student_path}  as bob", self._world.enrol(self._student_path, bob), 200)
        self._show(f"PATCH {self._student_path}  as carol", self._world.enrol(self._student_path, carol), 403)
        service.start()
        self._world.users.close()
        self._screen.note("started again; after AUTHZ_MAX_STALENESS without it, changes would have got 503")

    def _calls_are_counted(self) -> None:
        self._screen.step(f"What {CHANGES} changes cost the User service")
        bob = self._world.sign_in("bob")
        self._count("cached, event-fed", self._world.students, bob, promised=0)
        sidecar = self._insight.asking_sidecar
        if sidecar is None:
            self._screen.note("request-based: skipped, it takes a second sidecar")
        else:
            self._count("request-based", Client(sidecar.url), bob, promised=CHANGES)
        self._screen.note(f"counted by {self._insight.counted_by}")

    def _count(self, name: str, sidecar: Client, token: str, *, promised: int) -> None:
        before = self._insight.count_calls()
        times = []
        for _ in range(CHANGES):
            answer = self._world.enrol(self._student_path, token, through=sidecar)
            times.append(demand(answer, f"{name}: a change", 200).milliseconds)
        made = calls.between(before, self._insight.count_calls())
        self._screen.result(
            f"{name:<18} {made.caused:3} calls, and {made.background} in the background;"
            f" median {median(times):.1f} ms a change"
        )
        if made.caused != promised:
            raise Surprise(f"{name}: {made.caused} calls, expected {promised}")

    def _grant(self) -> None:
        """Returns when the sidecar decides by the grant."""
        revision = self._world.grant().headers["Authz-Revision"]
        again = self._world.create_student(self._alice, {"Authz-Min-Revision": revision})
        demand(again, "a granted change, made again", 400)

    def _revoke(self) -> tuple[Answer, Answer, int]:
        """The revoking answer, the first refusal, and how many changes passed before it."""
        return self._world.revoke(), *self._first_refusal()

    def _measure_again(self) -> float:
        self._grant()
        revoked, refused, _passed = self._revoke()
        return _gap(revoked, refused)

    def _first_refusal(self) -> tuple[Answer, int]:
        ends, passed = time.monotonic() + GIVE_UP_SECONDS, 0
        while (answer := self._world.create_student(self._alice)).status == 400:
            passed += 1
            if time.monotonic() > ends:
                raise Surprise(f"not refused within {GIVE_UP_SECONDS:g} s")
        return demand(answer, "the first refusal", 401, 403), passed

    def _show(self, request: str, answer: Answer, *statuses: int, remark: str = "") -> None:
        self._screen.exchange(request, answer, remark or answer.code)
        demand(answer, request, *statuses)


def _gap(revoked: Answer, refused: Answer) -> float:
    """Milliseconds between two answers, as their client received them."""
    return (refused.received_at - revoked.received_at) * 1000
