"""What a rule can ask for beside permissions: what is one's own, scopes, hosts, freshness; and its mode."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest

from authz_sidecar.authz.supposed import Supposed
from authz_sidecar.config import policy_file
from authz_sidecar.core.bearer import TokenPlaces
from authz_sidecar.core.decision import decide
from authz_sidecar.core.fields import of_request
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.ports import Pending
from authz_sidecar.core.verdicts import Code, Decision, Identity, Question, RequestHead, Verdict
from authz_sidecar.pipeline import Pipeline

RULES = """
version: 1
rules:
  - {methods: [PUT], path: "/me/{id}/", own: id}
  - {methods: [PATCH], path: "/students/{id}/notes/{note:int}/", own: id, permission: students.change_student}
  - methods: [DELETE]
    path: "/students/{id}/"
    permission: {all: [students.delete_student, {own: id}]}
  - {methods: [PUT], path: "/numbers/{n:int}/", own: {parameter: n, claim: student_number}}
  - {methods: [POST], path: /students/, permission: students.add_student, scope: [students, write]}
  - {methods: [POST], path: /any/, allow: authenticated, scope: write}
  - {methods: [POST], path: /tried/, permission: students.add_student, mode: shadow, max_staleness: 5}
"""


class Clock:
    def monotonic(self) -> float:
        return 50.0

    def wall(self) -> float:
        return 1e9


@dataclass
class Tokens:
    """A token is the claims in JSON."""

    def authenticate(self, token: bytes, now: float) -> Identity:
        payload = urlsafe_b64decode(token)
        said = json.loads(payload)
        scopes = frozenset(said.get("scope", "").split())
        return Identity(said["sub"], "k", 2e9, None, 0, None, scopes=scopes, claims=payload)


@dataclass
class Grants:
    """Decides as the core does, over one user's state that may change."""

    held: Supposed
    age: float = 1.0
    asked: list[Question] = field(default_factory=list)

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        self.asked.append(question)
        found = decide(question, self.held, self.age, question.requirement.max_staleness, 0.0, inf)
        assert isinstance(found, Verdict)
        return found


def loaded(tmp_path: Any, text: str = RULES) -> Policy:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return policy_file.load(path)


def request(
    line: str, claims: Mapping[str, Any] | None, *, host: str = "a", upgrade: bool = False
) -> RequestHead:
    method, target = line.split()
    fields = [(b"Host", host.encode())]
    if claims is not None:
        fields.append((b"X-Token", b"Bearer " + urlsafe_b64encode(json.dumps(claims).encode())))
    return RequestHead(method, target.encode(), of_request(fields), "peer", upgrade)


def pipeline(policy: Policy, permissions: str = "", *, superuser: bool = False, age: float = 1.0) -> Pipeline:
    grants = Grants(Supposed.holding(frozenset(permissions.split()), superuser=superuser), age)
    return Pipeline(policy, Tokens(), grants, Clock(), TokenPlaces(b"x-token"))


def decided(pipe: Pipeline, head: RequestHead) -> Decision:
    found = pipe.decide(head, "r")
    assert isinstance(found, Decision)
    return found


def code(policy: Policy, head: RequestHead, permissions: str = "", **more: Any) -> str:
    return str(decided(pipeline(policy, permissions, **more), head).verdict.code)


CHANGE, DELETE, ADD = "students.change_student", "students.delete_student", "students.add_student"


@pytest.mark.parametrize(
    ("line", "sub", "held", "wanted"),
    [
        # alone
        ("PUT /me/7/", "7", "", "own"),
        ("PUT /me/%37/", "7", "", "own"),
        ("PUT /me/b%C3%A9/", "bé", "", "own"),
        ("PUT /me/be%CC%81/", "bé", "", "permission_denied"),
        ("PUT /me/007/", "7", "", "permission_denied"),
        ("PUT /me/7%20/", "7", "", "permission_denied"),
        ("PUT /me/Ann/", "ann", "", "permission_denied"),
        ("PUT /me/8/", "7", f"{CHANGE} {DELETE} {ADD}", "permission_denied"),
        ("PUT /me/7%2F/", "7", "", "bad_target"),
        # or a permission
        ("PATCH /students/7/notes/8/", "7", "", "own"),
        ("PATCH /students/8/notes/7/", "7", "", "permission_denied"),
        ("PATCH /students/8/notes/7/", "7", CHANGE, "granted"),
        ("PATCH /students/7/notes/7/", "7", CHANGE, "own"),
        # and a permission
        ("DELETE /students/7/", "7", "", "permission_denied"),
        ("DELETE /students/7/", "7", DELETE, "granted"),
        ("DELETE /students/8/", "7", DELETE, "permission_denied"),
    ],
)
def test_what_the_path_names_is_compared_with_the_subject_as_text(
    tmp_path: Any, line: str, sub: str, held: str, wanted: str
) -> None:
    assert code(loaded(tmp_path), request(line, {"sub": sub}), held) == wanted


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("42", "own"),
        (42, "own"),
        ("042", "permission_denied"),
        (42.0, "permission_denied"),
        (True, "permission_denied"),
        (["42"], "permission_denied"),
        ({"42": 1}, "permission_denied"),
        (None, "permission_denied"),
        ("", "permission_denied"),
    ],
)
def test_or_with_a_claim_that_is_text_or_a_whole_number(tmp_path: Any, said: Any, wanted: str) -> None:
    head = request("PUT /numbers/42/", {"sub": "42", "student_number": said})
    assert code(loaded(tmp_path), head) == wanted


def test_a_claim_that_is_not_there_is_nobody_s(tmp_path: Any) -> None:
    assert code(loaded(tmp_path), request("PUT /numbers/42/", {"sub": "42"})) == "permission_denied"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("PUT /me/8/", "permission_denied"),
        ("PUT /me/7/", "own"),
        ("PATCH /students/8/notes/1/", "superuser"),
        ("DELETE /students/8/", "permission_denied"),
        ("DELETE /students/7/", "superuser"),
        ("POST /students/", "insufficient_scope"),
    ],
)
def test_a_superuser_has_every_permission_and_is_nobody_else(tmp_path: Any, line: str, wanted: str) -> None:
    assert code(loaded(tmp_path), request(line, {"sub": "7"}), superuser=True) == wanted


@pytest.mark.parametrize("line", ["PUT /me/7/", "PATCH /students/7/notes/8/", "DELETE /students/7/"])
def test_what_is_one_s_own_is_reconsidered_as_a_permission_is(tmp_path: Any, line: str) -> None:
    pipe = pipeline(loaded(tmp_path), DELETE)
    head = request(line, {"sub": "7"})
    decision = decided(pipe, head)
    assert decision.forward
    assert decision.owns is True
    assert pipe.reconsider(decision, head) is decision
    pipe.authorizer = Grants(Supposed.holding(frozenset({DELETE})), age=inf)
    revised = pipe.reconsider(decision, head)
    assert isinstance(revised, Decision)
    assert revised.forward  # nothing here bounds its age
    gone = Supposed(Supposed.holding(frozenset()).state.__class__(False, False, frozenset(), frozenset(), 0))
    pipe.authorizer = Grants(gone)
    revised = pipe.reconsider(decision, head)
    assert isinstance(revised, Decision)
    assert (revised.verdict.code, revised.revoking, revised.owns) == (Code.SUBJECT_INACTIVE, True, True)


def test_another_policy_finds_out_anew_what_is_one_s_own(tmp_path: Any) -> None:
    pipe = pipeline(loaded(tmp_path))
    head = request("PUT /me/7/", {"sub": "7"})
    decision = decided(pipe, head)
    moved = RULES.replace("/me/{id}/", "/{id}/{me}/")
    pipe.policy = loaded(tmp_path, moved.replace("own: id}", "own: me}", 1))
    revised = pipe.reconsider(decision, head)
    assert isinstance(revised, Decision)
    assert (revised.verdict.code, revised.rule) == (Code.OWN, "PUT /{id}/{me}/")
    pipe.policy = loaded(tmp_path, moved)
    revised = pipe.reconsider(decision, head)
    assert isinstance(revised, Decision)
    assert (revised.verdict.code, revised.revoking) == (Code.PERMISSION_DENIED, True)


@pytest.mark.parametrize(
    ("line", "scope", "wanted"),
    [
        ("POST /students/", "students write", "granted"),
        ("POST /students/", "write other students", "granted"),
        ("POST /students/", "students", "insufficient_scope"),
        ("POST /students/", "Students write", "insufficient_scope"),
        ("POST /students/", "studentswrite", "insufficient_scope"),
        ("POST /any/", "", "insufficient_scope"),
        ("POST /any/", "write", "authenticated"),
    ],
)
def test_every_scope_is_needed_whatever_else_is_asked(
    tmp_path: Any, line: str, scope: str, wanted: str
) -> None:
    assert code(loaded(tmp_path), request(line, {"sub": "7", "scope": scope}), ADD) == wanted


def test_a_token_without_the_scope_is_refused_before_anything_is_looked_up(tmp_path: Any) -> None:
    pipe = pipeline(loaded(tmp_path))
    decision = decided(pipe, request("POST /students/", {"sub": "7"}))
    assert (decision.status, decision.identity is not None) == (403, True)
    assert decision.verdict.detail == "this needs a token with scope students write"
    assert isinstance(pipe.authorizer, Grants)
    assert pipe.authorizer.asked == []


def test_a_rule_in_shadow_mode_refuses_nobody_and_says_what_it_would(tmp_path: Any) -> None:
    pipe = pipeline(loaded(tmp_path))
    for claims, wanted in (({"sub": "7"}, Code.PERMISSION_DENIED), (None, Code.TOKEN_MISSING)):
        decision = decided(pipe, request("POST /tried/", claims))
        assert (decision.verdict.code, decision.enforced, decision.forward) == (wanted, False, True)
    other = decided(pipe, request("POST /students/", None))
    assert (other.enforced, other.status) == (True, 401)
    malformed = decided(pipe, RequestHead("POST", b"/tried/#", of_request([(b"Host", b"a")]), "peer"))
    assert (malformed.enforced, malformed.status) == (True, 400)


def test_a_rule_that_enforces_does_not_outdo_a_sidecar_that_does_not(tmp_path: Any) -> None:
    pipe = pipeline(loaded(tmp_path, RULES.replace("mode: shadow", "mode: enforce")))
    assert decided(pipe, request("POST /tried/", None)).enforced
    pipe.enforced = False
    assert decided(pipe, request("POST /tried/", None)).forward


def test_a_rule_s_own_bound_of_age(tmp_path: Any) -> None:
    policy = loaded(tmp_path, RULES.replace("mode: shadow, ", ""))
    head = request("POST /tried/", {"sub": "7"})
    assert code(policy, head, ADD, age=5.0) == "granted"
    assert code(policy, head, ADD, age=5.1) == "stale"


HOSTS = """
version: 1
rules:
  - {methods: [POST], hosts: [api.example, www.example], path: /students/, allow: anyone}
  - {methods: [POST], hosts: [admin.example], path: /students/, permission: students.add_student}
  - {methods: [GET], hosts: [admin.example], path: /ws/, allow: anyone}
  - {methods: [GET], path: /secret/, allow: authenticated}
  - {methods: [GET], path: /ws/, allow: anyone}
  - {methods: [POST], path: /common/, allow: anyone}
"""


@pytest.mark.parametrize(
    ("host", "line", "wanted"),
    [
        ("api.example", "POST /students/", "anyone"),
        ("API.Example.:8443", "POST /students/", "anyone"),
        ("www.example:", "POST /students/", "anyone"),
        ("admin.example", "POST /students/", "token_missing"),
        # no rule without hosts counts for a host that has its own
        ("api.example", "POST /common/", "no_rule"),
        ("api.example", "GET /secret/", "safe_method"),
        ("admin.example", "GET /secret/", "safe_method"),
        # a host that none names: no change, whatever rule has no hosts
        ("other.example", "POST /students/", "no_rule"),
        ("other.example", "POST /common/", "no_rule"),
        ("other.example", "GET /secret/", "token_missing"),
        ("other.example", "GET /students/", "safe_method"),
        # no spelling makes another host of one, or one of another
        ("api.example..", "POST /students/", "no_rule"),
        ("api.example.evil", "POST /students/", "no_rule"),
        ("api.example:x", "POST /students/", "no_rule"),
        ("x@api.example", "POST /students/", "no_rule"),
        ("api.example,www.example", "POST /students/", "no_rule"),
        ("", "POST /students/", "no_rule"),
    ],
)
def test_a_host_that_is_named_has_rules_of_its_own(tmp_path: Any, host: str, line: str, wanted: str) -> None:
    assert code(loaded(tmp_path, HOSTS), request(line, None, host=host)) == wanted


def test_a_request_without_a_host_is_for_one_that_none_names(tmp_path: Any) -> None:
    head = RequestHead("POST", b"/students/", of_request([]), "peer")
    decision = decided(pipeline(loaded(tmp_path, HOSTS)), head)
    assert (decision.verdict.code, decision.verdict.detail) == (Code.NO_RULE, "no rule names this host")


def test_a_request_without_a_host_is_for_the_one_that_it_is_sent_on_with(tmp_path: Any) -> None:
    decides = pipeline(loaded(tmp_path, HOSTS))
    decides.unnamed_host = "admin.example"
    for line, wanted in (("POST", Code.TOKEN_MISSING), ("GET", Code.SAFE_METHOD)):
        head = RequestHead(line, b"/students/" if line == "POST" else b"/secret/", of_request([]), "peer")
        assert decided(decides, head).verdict.code == wanted


def test_two_hosts_are_refused_before_any_is_believed(tmp_path: Any) -> None:
    fields = of_request([(b"Host", b"api.example"), (b"Host", b"admin.example")])
    head = RequestHead("POST", b"/students/", fields, "peer")
    assert code(loaded(tmp_path, HOSTS), head) == "bad_header"


def test_a_websocket_is_a_change_where_no_rule_names_the_host(tmp_path: Any) -> None:
    policy = loaded(tmp_path, HOSTS)
    assert code(policy, request("GET /ws/", None, host="admin.example", upgrade=True)) == "anyone"
    assert code(policy, request("GET /ws/", None, host="b", upgrade=True)) == "websocket_no_rule"
    assert code(policy, request("GET /ws/", None, host="b")) == "anyone"


def test_all_that_a_rule_says_is_in_the_digest(tmp_path: Any) -> None:
    texts = [
        RULES,
        RULES.replace("own: id}\n", "permission: a.b}\n", 1),
        RULES.replace("claim: student_number", "claim: number"),
        RULES.replace("[students, write]", "[students]"),
        RULES.replace("mode: shadow, ", ""),
        RULES.replace("max_staleness: 5", "max_staleness: 6"),
        RULES.replace("path: /any/", "path: /any/, hosts: [a]"),
        RULES.replace("path: /any/", "path: /any/, hosts: [b]"),
    ]
    assert len({loaded(tmp_path, text).digest for text in texts}) == len(texts)
