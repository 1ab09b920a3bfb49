"""AuthZEN over real sockets: the levels Basic Core, Batch Core and Discovery, and what is not known."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest
from aiohttp import ClientSession, web

from authz_sidecar.config.decisions import DecisionsSettings
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.core import policy
from authz_sidecar.core.ports import Pending
from authz_sidecar.core.verdicts import Code, Question, Requirement, Verdict
from authz_sidecar.decisions.authzen import AuthZen
from authz_sidecar.decisions.check import Check
from authz_sidecar.decisions.server import BoundedServer, DecisionsPort
from authz_sidecar.pipeline import Pipeline
from lab.wire.decisions import POSITION, Clock, Observer, Permissions

ACTIONS = {
    ("record", "read"): Requirement("any", ("records.view_record",)),
    ("record", "write"): Requirement("any", ("records.change_record",)),
}
HELD = {"alice": {"records.view_record", "records.change_record"}, "bob": {"records.view_record"}}
URL = "https://pdp.example.org"
TOKEN = "leave-to-ask"


class Grants(Permissions):
    """Knows alice and bob; of whoever is called `nobody-knows` it knows nothing."""

    def authorize(self, question: Question, _now: float) -> Verdict | Pending:
        subject = question.identity.subject
        if subject == "nobody-knows":
            return Verdict(Code.STALE, "too old", POSITION, 99.0)
        if subject not in HELD:
            return Verdict(Code.SUBJECT_UNKNOWN, "", POSITION, 0.5)
        held = HELD[subject] >= set(question.requirement.permissions)
        return Verdict(Code.GRANTED if held else Code.PERMISSION_DENIED, "", POSITION, 0.5)


class Service:
    """The port, and a client that holds the credential."""

    def __init__(self, base: str, session: ClientSession, observer: Observer) -> None:
        self.base, self.session, self.observer = base, session, observer

    async def ask(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Status and document; `body` as it is if it is bytes, else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.post(self.base + path, data=BytesIO(content), headers=sent) as answer:
            return answer.status, await answer.json(content_type=None)

    async def decisions(self, body: Any) -> list[bool]:
        status, told = await self.ask("/access/v1/evaluations", body)
        assert status == 200
        return [each["decision"] for each in told["evaluations"]]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    observer, clock, limits, grants = Observer(), Clock(), ProxyLimits(), Grants()
    pipeline = Pipeline(policy.compile([], actions=ACTIONS), grants, grants, clock)
    settings = DecisionsSettings(token=TOKEN, url=URL)
    check = Check(pipeline, observer, clock, None, limits.target_bytes)
    authzen = AuthZen(pipeline, observer, clock, settings, limits.body_seconds)
    server = BoundedServer(DecisionsPort(check, authzen, {}, observer, clock, limits), observer, limits)
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession() as session:
        yield Service(f"http://127.0.0.1:{runner.addresses[0][1]}", session, observer)
    await runner.cleanup()


def asked(subject: str, action: str, resource: str = "record-1", kind: str = "record") -> dict[str, Any]:
    return {
        "subject": {"type": "user", "id": subject},
        "action": {"name": action},
        "resource": {"type": kind, "id": resource},
    }


def without(key: str, inner: str | None = None) -> dict[str, Any]:
    body = asked("alice", "read")
    if inner is None:
        del body[key]
    else:
        del body[key][inner]
    return body


CONTEXT = {"time": "2026-01-12T10:00:00Z", "ip": "192.0.2.1"}
PROPERTIES = {"type": "user", "id": "alice", "properties": {"department": "Sales"}}
SINGLE = {
    "alice reads": (asked("alice", "read"), True, "granted"),
    "alice writes": (asked("alice", "write"), True, "granted"),
    "bob reads": (asked("bob", "read"), True, "granted"),
    "bob writes": (asked("bob", "write"), False, "permission_denied"),
    "with a context": ({**asked("alice", "read"), "context": CONTEXT}, True, "granted"),
    "with properties": ({**asked("alice", "read"), "subject": PROPERTIES}, True, "granted"),
    "with fields of the future": ({**asked("alice", "read"), "x": 1, "y": {"z": []}}, True, "granted"),
    "an action that the policy does not name": (asked("alice", "burn"), False, "no_rule"),
    "a type that the policy does not name": (asked("alice", "read", kind="car"), False, "no_rule"),
    "nobody": (asked("eve", "read"), False, "subject_unknown"),
    "another type of subject": (
        {**asked("alice", "read"), "subject": {"type": "service", "id": "alice"}},
        False,
        "subject_unknown",
    ),
}


@pytest.mark.parametrize(("body", "decision", "code"), SINGLE.values(), ids=SINGLE.keys())
async def test_one_question(service: Service, body: dict[str, Any], decision: bool, code: str) -> None:
    for _ in range(2):
        status, told = await service.ask("/access/v1/evaluation", body)
        assert (status, told["decision"], told["context"]["code"]) == (200, decision, code)
    if code != "no_rule" and body["subject"]["type"] == "user":
        assert told["context"] == {"code": code, "revision": "3f2a9c1b.7", "age": 0.5}
    assert [each.verdict.code for each in service.observer.decisions] == [code, code]
    assert service.observer.answers == [200, 200]


MALFORMED: dict[str, tuple[Any, str]] = {
    **{f"no {key}": (without(key), f"{key} is missing") for key in ("subject", "action", "resource")},
    "no subject.type": (without("subject", "type"), "subject.type must be"),
    "no subject.id": (without("subject", "id"), "subject.id must be"),
    "no action.name": (without("action", "name"), "action.name must be"),
    "no resource.type": (without("resource", "type"), "resource.type must be"),
    "no resource.id": (without("resource", "id"), "resource.id must be"),
    "text for a subject": ({**asked("alice", "read"), "subject": "alice"}, "subject is missing or no object"),
    "a number for a name": ({**asked("alice", "read"), "action": {"name": 123}}, "action.name must be"),
    "an empty id": (asked("", "read"), "subject.id must be"),
    "no text at all": (asked("\ud800", "read"), "subject.id must be text that UTF-8 can hold"),
    "a long id": (asked("a" * 256, "read"), "subject.id must be"),
    "no JSON": (b"{", "the body must be JSON"),
    "nothing": (b"", "the body must be JSON"),
    "a list": ([], "the body must be a JSON object"),
    "a key twice": (b'{"subject": 1, "subject": 2}', "a key is there twice"),
    "a deep one": (b"[" * 100_000, "the body must be JSON"),
}


@pytest.mark.parametrize(("body", "text"), MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_is_no_question(service: Service, body: Any, text: str) -> None:
    for path in ("/access/v1/evaluation", "/access/v1/evaluations"):
        status, told = await service.ask(path, body)
        assert (status, told["code"]) == (400, "question_malformed")
        assert text in told["detail"]
    assert service.observer.decisions == []


async def test_how_it_has_to_be_sent(service: Service) -> None:
    good = asked("alice", "read")
    status, told = await service.ask("/access/v1/evaluation", good, Content_Type="text/plain")
    assert (status, told["detail"]) == (400, "Content-Type must be application/json")
    async with service.session.post(
        f"{service.base}/access/v1/evaluation",
        json=good,
        headers={"Authorization": f"Bearer {TOKEN}", "X-Request-ID": "mine-7"},
    ) as answer:
        assert answer.headers["X-Request-ID"] == "mine-7"
        assert answer.headers["Content-Type"] == "application/json"
    status, told = await service.ask("/access/v1/evaluation", b"no gzip", Content_Encoding="gzip")
    assert (status, told["code"]) == (400, "question_malformed")
    big = {**good, "context": "x" * 1024 * 1024}
    assert (await service.ask("/access/v1/evaluation", big))[1]["code"] == "body_too_large"


@pytest.mark.parametrize("credential", ["", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer é"])
async def test_a_credential_is_needed(service: Service, credential: str) -> None:
    for path in ("/access/v1/evaluation", "/access/v1/evaluations"):
        status, told = await service.ask(path, asked("alice", "read"), Authorization=credential)
        assert (status, told["code"]) == (401, "credential_missing")
    assert service.observer.decisions == []


ALICE = {"subject": {"type": "user", "id": "alice"}}
READ, WRITE = {"action": {"name": "read"}}, {"action": {"name": "write"}}
RECORD = {"resource": {"type": "record", "id": "record-1"}}
BOB = {"subject": {"type": "user", "id": "bob"}}
FOUR = [asked("alice", "read"), asked("bob", "write"), asked("bob", "read"), asked("eve", "read")]
BATCHES: dict[str, tuple[dict[str, Any], list[bool]]] = {
    "resources": ({**ALICE, **READ, "evaluations": [RECORD, RECORD]}, [True, True]),
    "actions, in order": ({**BOB, **RECORD, "evaluations": [READ, WRITE]}, [True, False]),
    "subjects": ({**WRITE, **RECORD, "evaluations": [ALICE, BOB]}, [True, False]),
    "nothing in common": ({"evaluations": FOUR}, [True, False, True, False]),
    "all of it in common": ({**asked("bob", "write"), "evaluations": [{}, ALICE]}, [False, True]),
    "a context of its own": (
        {**ALICE, **READ, "context": {}, "evaluations": [{**RECORD, "context": CONTEXT}]},
        [True],
    ),
    "one that is none": (
        {
            **ALICE,
            **READ,
            "options": {"evaluations_semantic": "execute_all"},
            "evaluations": [RECORD, {}, "x"],
        },
        [True, False, False],
    ),
    "until one is denied": (
        {"options": {"evaluations_semantic": "deny_on_first_deny"}, "evaluations": FOUR},
        [True, False],
    ),
    "until one is permitted": (
        {"options": {"evaluations_semantic": "permit_on_first_permit"}, "evaluations": FOUR[1:]},
        [False, True],
    ),
}


@pytest.mark.parametrize(("body", "decisions"), BATCHES.values(), ids=BATCHES.keys())
async def test_several_questions(service: Service, body: dict[str, Any], decisions: list[bool]) -> None:
    assert await service.decisions(body) == decisions


async def test_one_of_several_that_is_none_says_why(service: Service) -> None:
    _, told = await service.ask("/access/v1/evaluations", {**ALICE, **READ, "evaluations": [RECORD, {}]})
    error = told["evaluations"][1]["context"]["error"]
    assert error == {"status": 400, "message": "resource is missing or no object"}


@pytest.mark.parametrize("evaluations", [{}, {"evaluations": []}])
async def test_without_several_it_is_one(service: Service, evaluations: dict[str, Any]) -> None:
    status, told = await service.ask("/access/v1/evaluations", {**asked("alice", "read"), **evaluations})
    assert (status, told["decision"]) == (200, True)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"evaluations": 1}, "evaluations must be a list"),
        ({"evaluations": [{}] * 1001}, "at most 1000"),
        ({"evaluations": [{}], "options": 1}, "options must be an object"),
        ({"evaluations": [{}], "options": {"evaluations_semantic": "any"}}, "must be one of execute_all,"),
    ],
)
async def test_what_is_no_batch(service: Service, body: dict[str, Any], text: str) -> None:
    status, told = await service.ask("/access/v1/evaluations", body)
    assert status == 400
    assert text in told["detail"]


@pytest.mark.parametrize("semantic", ["execute_all", "deny_on_first_deny", "permit_on_first_permit"])
async def test_what_is_not_known_is_never_false(service: Service, semantic: str) -> None:
    unknown = asked("nobody-knows", "read")
    status, told = await service.ask("/access/v1/evaluation", unknown)
    assert (status, told["code"]) == (503, "stale")
    both = [asked("alice", "read"), unknown]
    if semantic == "permit_on_first_permit":
        both[0] = asked("bob", "write")
    body = {"options": {"evaluations_semantic": semantic}, "evaluations": both}
    status, told = await service.ask("/access/v1/evaluations", body)
    assert (status, told["code"]) == (503, "stale")
    assert "evaluations" not in told


async def test_discovery(service: Service) -> None:
    async with service.session.get(f"{service.base}/.well-known/authzen-configuration") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        assert await answer.json() == {
            "policy_decision_point": URL,
            "access_evaluation_endpoint": f"{URL}/access/v1/evaluation",
            "access_evaluations_endpoint": f"{URL}/access/v1/evaluations",
        }
