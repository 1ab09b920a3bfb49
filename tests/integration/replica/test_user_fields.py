"""By which fields users are named: told by the User service, the same in all of an epoch, never guessed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authz_sidecar.authz.per_request import RequestAuthorizer
from authz_sidecar.core.entities import UserState
from authz_sidecar.core.verdicts import Code, Identity, Question, Requirement
from authz_sidecar.replica import store_sync
from authz_sidecar.replica.redis_store import RedisStore
from authz_sidecar.replica.store import Store
from authz_sidecar.source import UserServiceClient

CHANGE = "students.change_student"
ANN = "email\x1fann@example.org"
BOTH = ("pk", "email")
Start = Callable[..., Awaitable[Any]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_sync, "AFTER_LOAD", 0.1)


@pytest.fixture
def both(service: Any) -> Any:
    """It names users by two fields; what one's key says is what another's address says."""
    service.subject_fields = ["pk", "email"]
    held = UserState(True, False, frozenset({CHANGE}), frozenset(), 0)
    nothing = UserState(True, False, frozenset(), frozenset(), 0)
    service.commit(("user", "17", held), ("user", ANN, held))
    service.commit(("user", "18", nothing), ("user", "email\x1f17", nothing))
    return service


async def test_each_issuer_s_subjects_are_its_own(start: Start, store: Store, both: Any) -> None:
    sidecar = await start(store, user_fields=BOTH)
    for sub, field, code in (
        ("17", "pk", Code.GRANTED),
        ("17", "email", Code.PERMISSION_DENIED),
        ("17", None, Code.GRANTED),
        ("ann@example.org", "email", Code.GRANTED),
        ("ann@example.org", "pk", Code.SUBJECT_UNKNOWN),
        ("Ann@example.org", "email", Code.SUBJECT_UNKNOWN),
        ("18", "email", Code.SUBJECT_UNKNOWN),
    ):
        assert (await sidecar.decide(sub, CHANGE, user_field=field)).code is code, (sub, field)
    held = UserState(True, False, frozenset({CHANGE}), frozenset(), 0)
    both.commit(("user", ANN, None), ("user", "email\x1fann@b.example", held))
    await sidecar.until_decided("ann@b.example", CHANGE, Code.GRANTED, "email")
    assert (await sidecar.decide("ann@example.org", CHANGE, user_field="email")).code is Code.SUBJECT_UNKNOWN


@pytest.mark.parametrize(
    ("told", "asked", "code"),
    [
        (["pk"], ["pk"], Code.GRANTED),
        (["email"], ["pk"], Code.USER_FIELD_UNKNOWN),
        (["email"], ["pk", "email"], Code.USER_FIELD_UNKNOWN),
        (None, ["pk"], Code.GRANTED),
        (None, ["pk", "email"], Code.USER_FIELD_UNKNOWN),
    ],
)
async def test_a_field_that_users_are_not_named_by_is_not_guessed(
    start: Start,
    store: Store,
    service: Any,
    caplog: pytest.LogCaptureFixture,
    told: list[str] | None,
    asked: list[str],
    code: Code,
) -> None:
    service.subject_fields = told
    service.user("17", CHANGE)
    sidecar = await start(store, user_fields=asked)
    assert (await sidecar.decide("17", CHANGE, user_field="pk")).code is code
    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    wrong = code is Code.USER_FIELD_UNKNOWN
    assert bool(sidecar.replica.unnamed()) == wrong
    assert [error for error in errors if "user_field_unknown" in error] == errors[: int(wrong)]


async def test_other_fields_are_another_epoch(start: Start, store: Store, both: Any) -> None:
    """Where a key was one user's and is another's name now, nobody is ever taken for the other."""
    sidecar = await start(store, user_fields=BOTH)
    assert (await sidecar.decide("17", CHANGE, user_field="pk")).code is Code.GRANTED
    both.subject_fields = ["email", "pk"]
    both.new_epoch()
    nothing = UserState(True, False, frozenset(), frozenset(), 0)
    held = UserState(True, False, frozenset({CHANGE}), frozenset(), 0)
    both.commit(("user", "17", nothing), ("user", "pk\x1f17", held), ("user", "email\x1f17", None))
    await sidecar.until(lambda: sidecar.at_head)
    assert (await sidecar.decide("17", CHANGE, user_field="pk")).code is Code.GRANTED
    assert (await sidecar.decide("17", CHANGE, user_field="email")).code is Code.PERMISSION_DENIED
    both.subject_fields = ["email"]
    both.new_epoch()
    both.commit(("user", "pk\x1f17", None))
    await sidecar.until(lambda: sidecar.at_head)
    assert (await sidecar.decide("17", CHANGE, user_field="pk")).code is Code.USER_FIELD_UNKNOWN


async def test_a_copy_that_is_warm_is_named_as_the_service_says(
    start: Start, redis_store: Callable[[], RedisStore], both: Any
) -> None:
    first = await start(redis_store(), user_fields=BOTH)
    await first.replica.stop()
    sidecar = await start(redis_store(), user_fields=BOTH)
    assert (await sidecar.decide("ann@example.org", CHANGE, user_field="email")).code is Code.GRANTED
    assert (await sidecar.decide("17", CHANGE, user_field="email")).code is Code.PERMISSION_DENIED


async def test_a_service_that_begins_to_say_it_is_heard(start: Start, store: Store, both: Any) -> None:
    """Another version of it was started, and its epoch goes on."""
    both.subject_fields = None
    sidecar = await start(store, user_fields=["email"])
    assert (await sidecar.decide("17", CHANGE, user_field="email")).code is Code.GRANTED
    both.subject_fields = ["pk", "email"]
    await sidecar.until_decided("17", CHANGE, Code.PERMISSION_DENIED, "email")
    assert (await sidecar.decide("ann@example.org", CHANGE, user_field="email")).code is Code.GRANTED


async def ask(authorizer: RequestAuthorizer, sub: str, field: str | None) -> Code:
    identity = Identity(sub, "key", 9e9, None, None, None, user_field=field)
    question = Question(identity, Requirement("any", (CHANGE,)), None)
    for _ in range(3):
        pending = authorizer.authorize(question, 0.0)
        assert callable(pending)
        if (verdict := await pending()) is not None:
            return verdict.code
    raise AssertionError("it is never decided")


async def test_the_user_service_is_asked_by_its_own_names(user_service: UserServiceClient, both: Any) -> None:
    authorizer = RequestAuthorizer(user_service, BOTH)
    await authorizer.learn()
    assert await ask(authorizer, "17", "pk") is Code.GRANTED
    assert await ask(authorizer, "17", "email") is Code.PERMISSION_DENIED
    assert await ask(authorizer, "ann@example.org", "email") is Code.GRANTED
    assert [each["sub"] for each in both.checked] == ["17", "email\x1f17", ANN]
    assert (both.calls["head"], authorizer.unnamed()) == (1, "")
    both.subject_fields = ["email"]
    both.new_epoch()
    assert await ask(authorizer, "17", "pk") is Code.USER_FIELD_UNKNOWN
    assert authorizer.unnamed() == "the User service names its users by email, not by pk"
    both.subject_fields = ["pk", "email"]
    both.new_epoch()
    assert await ask(authorizer, "17", "pk") is Code.GRANTED
    assert await ask(authorizer, "17", None) is Code.GRANTED


async def test_what_changes_while_it_is_asked_is_asked_again(
    user_service: UserServiceClient, both: Any
) -> None:
    authorizer = RequestAuthorizer(user_service, BOTH)
    await authorizer.learn()

    def turned() -> None:
        both.before_check = lambda: None
        both.subject_fields = ["email", "pk"]
        both.new_epoch()
        held = UserState(True, False, frozenset({CHANGE}), frozenset(), 0)
        both.commit(("user", "17", UserState(True, False, frozenset(), frozenset(), 0)))
        both.commit(("user", "pk\x1f17", held))

    both.before_check = turned
    assert await ask(authorizer, "17", "pk") is Code.GRANTED
    assert [each["sub"] for each in both.checked] == ["17", "pk\x1f17"]
