"""A lot is taken in: that nobody has lost anything is proved, what somebody has gained is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from authz_sidecar.core.verdicts import Code
from authz_sidecar.replica.store import Store

ADD, CHANGE = "students.add_student", "students.change_student"
MAX_STALENESS = 30.0
Start = Callable[..., Awaitable[Any]]


async def codes(sidecar: Any) -> tuple[Code, Code]:
    """Of one who may, and of one who may not."""
    return (await sidecar.decide("alice", CHANGE)).code, (await sidecar.decide("bob", CHANGE)).code


async def past_the_bound(sidecar: Any, *, seen: bool = True) -> None:
    """The service has been asked since, and its answer is here, if that proves anything."""
    clock, proofs = sidecar.clock, sidecar.replica.proofs
    clock.ahead += MAX_STALENESS + 1
    asked = sidecar.service.calls["changes"]
    await sidecar.until(lambda: sidecar.service.calls["changes"] > asked + 1)
    if seen:
        await sidecar.until(lambda: proofs.allows_for(clock.monotonic()) > 0.0)


async def test_who_may_is_let_through_and_nobody_is_refused(start: Start, store: Store, service: Any) -> None:
    sidecar = await start(store)
    assert await codes(sidecar) == (Code.GRANTED, Code.PERMISSION_DENIED)
    service.proved = "losses"
    await past_the_bound(sidecar)
    assert await codes(sidecar) == (Code.GRANTED, Code.STALE)
    assert not sidecar.replica.status(sidecar.clock.monotonic()).fresh
    service.proved = "all"
    await sidecar.until_decided("bob", CHANGE, Code.PERMISSION_DENIED)


async def test_who_has_lost_something_meanwhile_is_not_let_through(
    start: Start, store: Store, service: Any
) -> None:
    sidecar = await start(store)
    service.proved = "losses"
    await past_the_bound(sidecar)
    service.user("alice")
    await sidecar.until_decided("alice", CHANGE, Code.STALE)


async def test_what_is_under_way_ends_when_losses_are_not_proved_any_more(
    start: Start, store: Store, service: Any
) -> None:
    sidecar = await start(store)
    service.proved = "losses"
    await past_the_bound(sidecar)
    changes: list[object] = []
    sidecar.replica.watch(changes.append)
    service.proved = "nothing"
    await past_the_bound(sidecar, seen=False)
    await sidecar.until(lambda: None in changes)
    assert await codes(sidecar) == (Code.STALE, Code.STALE)


async def test_so_does_what_was_let_through_before_all_was_ever_proved(
    start: Start, store: Store, service: Any, clock: Any
) -> None:
    """What a sidecar starts from was older than the bound when it arrived."""
    service.proved = "losses"
    service.before_snapshot = partial(setattr, clock, "ahead", MAX_STALENESS + 1)
    sidecar = await start(store, live=False)
    await sidecar.until_decided("alice", CHANGE, Code.GRANTED)
    assert not sidecar.replica.status(clock.monotonic()).was_live
    changes: list[object] = []
    sidecar.replica.watch(changes.append)
    service.proved = "nothing"
    await past_the_bound(sidecar, seen=False)
    await sidecar.until(lambda: None in changes)
