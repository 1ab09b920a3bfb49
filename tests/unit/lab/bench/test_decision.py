"""The decision alone, in one process and with everything at hand; Casbin's for comparison.

`scripts/bench` reads the times (pytest-benchmark); the suite only asserts that the answers are right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from math import inf
from pathlib import Path
from typing import Any

import casbin
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from authz_sidecar.authn.key_set import Key, KeyName, KeySet
from authz_sidecar.authn.tokens import TokenAuthenticator
from authz_sidecar.authz.cached import CachedAuthorizer
from authz_sidecar.config import policy_file, reading
from authz_sidecar.config.table import Settings
from authz_sidecar.core import fields
from authz_sidecar.core.entities import Entity, EntityKey, Position, UserState
from authz_sidecar.core.proofs import Proofs
from authz_sidecar.core.verdicts import Code, Decision, Question, RequestHead, Verdict
from authz_sidecar.pipeline import Pipeline
from authz_sidecar.process import SystemClock
from authz_sidecar.replica.near_cache import NearCache
from lab import ROOT

SUBJECTS = 1_000
HELD = "students.add_student"
POSITION = Position("3f2a9c1b-0000-4000-8000-000000000000", 1, None)
POLICY = ROOT / "compose" / "policy.yaml"
ISSUER, AUDIENCE = "http://issuer", "student-service"


class Replica:
    """The real proofs and near cache, standing at a revision, without the I/O around them."""

    waiting = None

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.near = NearCache(100_000)
        self.near.restart(POSITION)
        self.proofs = Proofs()
        self.proofs.prove(POSITION.revision, now(), POSITION)
        assert self.near.admit([_user(number) for number in range(SUBJECTS)], POSITION)


@dataclass
class Keys:
    """One key, at hand."""

    held: KeySet

    def find(self, name: KeyName) -> Key | None:
        return self.held.keys.get(name)


@dataclass
class Warm:
    """A pipeline that has seen every request once."""

    pipeline: Pipeline
    authorizer: CachedAuthorizer
    heads: Iterator[RequestHead]
    questions: Iterator[Question]


@pytest.fixture
def warm() -> Warm:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = Key("bench", frozenset({"RS256"}), (), private.public_key())
    clock = SystemClock()
    authorizer = CachedAuthorizer(Replica(clock.monotonic), 3600, inf)  # type: ignore[arg-type]
    authenticator = TokenAuthenticator(_settings().jwt.alone, Keys(KeySet.of([key])))
    pipeline = Pipeline(policy_file.load(POLICY), authenticator, authorizer, clock)
    heads = [_head(_token(private, number)) for number in range(SUBJECTS)]
    decisions = [pipeline.decide(head, "warm") for head in heads]
    questions = [Question(d.identity, d.requirement, None) for d in decisions if isinstance(d, Decision)]
    assert len(questions) == SUBJECTS
    return Warm(pipeline, authorizer, cycle(heads), cycle(questions))


def test_pipeline(benchmark: Any, warm: Warm) -> None:
    """Target, rule, token, grants: everything between a request's head and its verdict."""
    decision = benchmark(lambda: warm.pipeline.decide(next(warm.heads), "id"))
    assert decision.verdict.code is Code.GRANTED


def test_authorize(benchmark: Any, warm: Warm) -> None:
    """Only the step that Casbin does too: may this subject do this?"""
    verdict = benchmark(lambda: warm.authorizer.authorize(next(warm.questions), time.monotonic()))
    assert isinstance(verdict, Verdict)
    assert verdict.allowed


MODEL = """
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
"""


@pytest.mark.parametrize("indexed", [False, True], ids=["plain", "indexed-by-subject"])
def test_casbin(benchmark: Any, tmp_path: Path, indexed: bool) -> None:
    enforcer = _enforcer(tmp_path, indexed)
    subjects = cycle([str(number) for number in range(SUBJECTS)])
    assert not enforcer.enforce("nobody", "/students/", "POST")
    assert benchmark(lambda: enforcer.enforce(next(subjects), "/students/", "POST"))


def _enforcer(directory: Path, indexed: bool) -> Any:
    (directory / "model.conf").write_text(MODEL)
    policy = "".join(f"p, {number}, /students/, POST\n" for number in range(SUBJECTS))
    (directory / "policy.csv").write_text(policy)
    paths = (str(directory / "model.conf"), str(directory / "policy.csv"))
    return casbin.FastEnforcer(*paths, cache_key_order=[0]) if indexed else casbin.Enforcer(*paths)


def _user(number: int) -> Entity:
    state = UserState(True, False, frozenset({HELD}), frozenset(), 0)
    return Entity(EntityKey("user", str(number)), 1, state)


def _token(private: Any, number: int) -> str:
    now = int(time.time())
    claims = {
        **{"iss": ISSUER, "aud": AUDIENCE, "sub": str(number), "iat": now, "exp": now + 3600},
        **{"jti": str(number), "authz_gen": 0, "authz_rev": str(POSITION.token)},
    }
    return jwt.encode(claims, private, algorithm="RS256", headers={"typ": "at+jwt", "kid": "bench"})


def _head(token: str) -> RequestHead:
    headers = {
        "Host": "127.0.0.1",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Content-Length": "97",
    }
    received = [(name.encode(), value.encode()) for name, value in headers.items()]
    return RequestHead("POST", b"/students/", fields.of_request(received), "127.0.0.1")


def _settings() -> Settings:
    required = {
        "AUTHZ_UPSTREAM": "http://127.0.0.1:1",
        "AUTHZ_USER_SERVICE": "http://127.0.0.1:1",
        "AUTHZ_SERVICE_TOKEN": "none",
        "AUTHZ_POLICY": str(POLICY),
        "AUTHZ_JWT_ISSUER": ISSUER,
        "AUTHZ_JWT_AUDIENCE": AUDIENCE,
    }
    return reading.load({}, required)
