"""Request-based validation: the User service decides, and what it does not say is unknown."""

from __future__ import annotations

from typing import Any

import pytest

from authz_sidecar.authz.per_request import RequestAuthorizer
from authz_sidecar.core.entities import RevisionToken, UserState
from authz_sidecar.core.verdicts import Code, Identity, Own, Question, Requirement, Verdict
from authz_sidecar.source import UserServiceClient

ADD, CHANGE = "students.add_student", "students.change_student"


async def ask(
    user_service: UserServiceClient, requirement: Requirement, sub: str = "alice", **tokens: RevisionToken
) -> Verdict:
    identity = Identity(sub, "key", 9e9, None, 7, tokens.get("claim"))
    question = Question(identity, requirement, tokens.get("header"))
    pending = RequestAuthorizer(user_service).authorize(question, 0.0)
    assert not isinstance(pending, Verdict)
    verdict = await pending()
    assert verdict is not None
    return verdict


@pytest.mark.parametrize(
    ("requirement", "code", "asked"),
    [
        (Requirement("any", (CHANGE,)), Code.GRANTED, [CHANGE]),
        (Requirement("any", (ADD,)), Code.PERMISSION_DENIED, [ADD]),
        (Requirement("any", (ADD, CHANGE, "x.y")), Code.GRANTED, [ADD, CHANGE]),
        (Requirement("all", (CHANGE, ADD, "x.y")), Code.PERMISSION_DENIED, [CHANGE, ADD]),
        (Requirement("all", (CHANGE, CHANGE)), Code.GRANTED, [CHANGE, CHANGE]),
        (Requirement("authenticated"), Code.AUTHENTICATED, [None]),
        (Requirement("any"), Code.PERMISSION_DENIED, []),
        (Requirement("any", (), Own("id")), Code.PERMISSION_DENIED, [None]),
        (Requirement("any", (CHANGE,), Own("id")), Code.GRANTED, [CHANGE]),
        (Requirement("all", (CHANGE,), Own("id")), Code.PERMISSION_DENIED, [None]),
    ],
    ids=str,
)
async def test_one_call_for_each_permission_until_it_is_decided(
    user_service: UserServiceClient,
    service: Any,
    requirement: Requirement,
    code: Code,
    asked: list[str | None],
) -> None:
    assert (await ask(user_service, requirement)).code is code
    assert [question["permission"] for question in service.checked] == asked
    assert all((q["sub"], q["token_generation"]) == ("alice", 7) for q in service.checked)


@pytest.mark.parametrize(
    ("requirement", "code", "asked"),
    [
        (Requirement("any", (), Own("id")), Code.OWN, [None]),
        (Requirement("any", (ADD,), Own("id")), Code.OWN, [None]),
        (Requirement("all", (ADD,), Own("id")), Code.PERMISSION_DENIED, [ADD]),
        (Requirement("all", (CHANGE,), Own("id")), Code.GRANTED, [CHANGE]),
    ],
    ids=str,
)
async def test_what_is_one_s_own_needs_no_permission_unless_all_are_needed(
    user_service: UserServiceClient,
    service: Any,
    requirement: Requirement,
    code: Code,
    asked: list[str | None],
) -> None:
    identity = Identity("alice", "key", 9e9, None, 7, None)
    pending = RequestAuthorizer(user_service).authorize(Question(identity, requirement, None, True), 0.0)
    assert not isinstance(pending, Verdict)
    verdict = await pending()
    assert verdict is not None
    assert verdict.code is code
    assert [question["permission"] for question in service.checked] == asked


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"allowed": True, "reason": "superuser"}, Code.SUPERUSER),
        ({"allowed": False, "reason": "inactive"}, Code.SUBJECT_INACTIVE),
        ({"allowed": False, "reason": "unknown_subject"}, Code.SUBJECT_UNKNOWN),
        ({"allowed": False, "reason": "token_revoked"}, Code.TOKEN_REVOKED),
        ({"allowed": True, "reason": "denied"}, Code.GRANTS_UNKNOWN),
        ({"allowed": False, "reason": "granted"}, Code.GRANTS_UNKNOWN),
        ({"allowed": True, "reason": "whatever"}, Code.GRANTS_UNKNOWN),
        ({"allowed": "yes"}, Code.GRANTS_UNKNOWN),
    ],
)
async def test_reasons(
    user_service: UserServiceClient, service: Any, said: dict[str, object], code: Code
) -> None:
    service.said = said
    assert (await ask(user_service, Requirement("any", (CHANGE,)))).code is code


async def test_unreachable_is_unknown(user_service: UserServiceClient, service: Any) -> None:
    service.down = True
    assert (await ask(user_service, Requirement("any", (CHANGE,)))).code is Code.GRANTS_UNKNOWN


@pytest.mark.parametrize(
    ("epoch8", "ahead", "where", "code"),
    [
        (None, 0, "header", Code.GRANTED),
        (None, 0, "claim", Code.GRANTED),
        (None, 1, "header", Code.REVISION_BEYOND_HEAD),
        (None, 1, "claim", Code.TOKEN_EPOCH),
        ("deadbeef", 0, "header", Code.EPOCH_MISMATCH),
        ("deadbeef", 0, "claim", Code.TOKEN_EPOCH),
    ],
)
async def test_consistency_tokens_are_obeyed(
    user_service: UserServiceClient, service: Any, epoch8: str | None, ahead: int, where: str, code: Code
) -> None:
    token = RevisionToken(epoch8 or service.epoch[:8], service.head + ahead)
    assert (await ask(user_service, Requirement("any", (CHANGE,)), **{where: token})).code is code


async def test_answers_of_different_revisions_are_never_joined(
    user_service: UserServiceClient, service: Any
) -> None:
    """Held one after the other, never together: "all of them" must not be granted."""

    def swap() -> None:
        held = frozenset({ADD}) if service.checked[1:] else frozenset({CHANGE})
        service.commit(("user", "alice", UserState(True, False, held, frozenset(), 7)))

    service.before_check = swap
    question = Question(Identity("alice", "key", 9e9, None, 7, None), Requirement("all", (CHANGE, ADD)), None)
    pending = RequestAuthorizer(user_service).authorize(question, 0.0)
    assert not isinstance(pending, Verdict)
    assert await pending() is None
    assert len(service.checked) == 2
