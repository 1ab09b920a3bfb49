"""What a decision waits for: known absences, and revisions that a request asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authz_sidecar.core.entities import RevisionToken
from authz_sidecar.core.verdicts import Code
from authz_sidecar.replica.store import Store

ADD, CHANGE = "students.add_student", "students.change_student"
MAX_STALENESS = 30.0
Start = Callable[..., Awaitable[Any]]


class TestAbsence:
    async def test_it_is_confirmed_once_and_remembered_until_it_ends(
        self, start: Start, store: Store, service: Any
    ) -> None:
        sidecar = await start(store)
        for _ in range(5):
            assert (await sidecar.decide("carol", ADD)).code is Code.SUBJECT_UNKNOWN
        assert service.calls["subjects"] == 1
        service.user("carol", ADD)
        await sidecar.until_decided("carol", ADD, Code.GRANTED)
        assert service.calls["subjects"] == 1

    async def test_many_who_ask_are_answered_by_one_call(
        self, start: Start, store: Store, service: Any
    ) -> None:
        sidecar = await start(store)
        verdicts = await asyncio.gather(*(sidecar.decide("carol", ADD) for _ in range(100)))
        assert {verdict.code for verdict in verdicts} == {Code.SUBJECT_UNKNOWN}
        assert service.calls["subjects"] == 1

    async def test_a_group_that_does_not_exist_grants_nothing(
        self, start: Start, store: Store, service: Any
    ) -> None:
        service.user("carol", groups=("ghosts", "staff"))
        sidecar = await start(store)
        assert (await sidecar.decide("carol", CHANGE)).code is Code.PERMISSION_DENIED
        assert (await sidecar.decide("carol", ADD)).code is Code.GRANTED
        assert service.calls["subjects"] == 1


class TestALostBranch:
    """A backup was restored without a new epoch, and the numbers have come up to ours again."""

    @pytest.mark.parametrize("ahead", [0, 1])
    @pytest.mark.parametrize(("sub", "code"), [("dora", Code.GRANTED), ("nobody", Code.SUBJECT_UNKNOWN)])
    async def test_the_live_branch_answers_no_question_about_the_lost_one(
        self, start: Start, store: Store, service: Any, sub: str, code: Code, ahead: int
    ) -> None:
        sidecar = await start(store, feed_interval=1_000.0)
        service.restore(1)
        service.user("alice")
        service.user("dora", CHANGE)
        for _ in range(ahead):
            service.user("erin")
        verdict = await sidecar.decide(sub, CHANGE)
        assert verdict.code is code
        assert verdict.position.at == service.log[-1]["at"]


class TestConsistencyTokens:
    async def test_a_write_is_seen_by_whoever_names_its_revision(
        self, start: Start, store: Store, service: Any
    ) -> None:
        sidecar = await start(store, feed_interval=1_000.0)
        for number in range(20):
            service.user("alice", *([CHANGE] if number % 2 else []))
            token = RevisionToken(service.epoch[:8], service.head)
            expected = Code.GRANTED if number % 2 else Code.PERMISSION_DENIED
            where = {"header": token} if number % 3 else {"claim": token}
            assert (await sidecar.decide("alice", CHANGE, **where)).code is expected

    @pytest.mark.parametrize(
        ("epoch8", "ahead", "where", "code"),
        [
            (None, 1, "header", Code.REVISION_BEYOND_HEAD),
            (None, 1, "claim", Code.TOKEN_EPOCH),
            ("deadbeef", 0, "header", Code.EPOCH_MISMATCH),
            ("deadbeef", 0, "claim", Code.TOKEN_EPOCH),
        ],
    )
    async def test_what_does_not_exist(
        self, start: Start, store: Store, service: Any, epoch8: str, ahead: int, where: str, code: Code
    ) -> None:
        sidecar = await start(store)
        token = RevisionToken(epoch8 or service.epoch[:8], service.head + ahead)
        assert (await sidecar.decide("alice", CHANGE, **{where: token})).code is code

    async def test_a_new_epoch_is_found_by_the_first_who_names_it(
        self, start: Start, store: Store, service: Any
    ) -> None:
        sidecar = await start(store, feed_interval=1_000.0)
        service.new_epoch()
        service.user("alice")
        token = RevisionToken(service.epoch[:8], service.head)
        assert (await sidecar.decide("alice", CHANGE, claim=token)).code is Code.PERMISSION_DENIED

    async def test_it_cannot_be_confirmed(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store, feed_interval=1_000.0)
        service.down = True
        token = RevisionToken(service.epoch[:8], service.head + 1)
        assert (await sidecar.decide("alice", CHANGE, header=token)).code is Code.BEHIND

    async def test_many_tokens_cost_few_calls(self, start: Start, store: Store, service: Any) -> None:
        sidecar = await start(store, feed_interval=1_000.0)
        before = service.calls["changes"]
        tokens = [RevisionToken(f"{number:08x}", number) for number in range(100, 600)]
        asked = (sidecar.decide(f"u{token.revision % 20}", CHANGE, header=token) for token in tokens)
        verdicts = await asyncio.gather(*asked)
        assert {verdict.code for verdict in verdicts} == {Code.EPOCH_MISMATCH}
        assert service.calls["changes"] - before <= 3
