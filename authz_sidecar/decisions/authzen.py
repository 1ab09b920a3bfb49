"""AuthZEN: may a subject do this to a resource of this type? Asked without a request, by who may ask.

What each action on each type requires stands in the policy, under `authzen`. What it does not name is denied,
as a change that no rule names is. Where the answer to one question is not known there is none to any: 503.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from authz_sidecar import answers
from authz_sidecar.answers import Answer, Fault
from authz_sidecar.codes import TABLE
from authz_sidecar.config.decisions import DecisionsSettings
from authz_sidecar.core import authzen
from authz_sidecar.core.authzen import Asked, Malformed
from authz_sidecar.core.ports import Clock, RequestObserver
from authz_sidecar.core.verdicts import Code, Decision, FaultCode, Verdict
from authz_sidecar.decisions.forwarded import Unanswerable
from authz_sidecar.pipeline import Pipeline

EVALUATION: Final = "/access/v1/evaluation"
EVALUATIONS: Final = "/access/v1/evaluations"
METADATA: Final = "/.well-known/authzen-configuration"
MAX_BODY_BYTES: Final = 1024 * 1024
UNKNOWN_STATUS: Final = 503
SUBJECTS: Final = "user"
"""The only type of subject there is."""


class Unknown(Exception):
    """The answer to a question is not known now."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision


class AuthZen:
    """Puts each question to the pipeline, and tells the observer of each."""

    def __init__(
        self,
        pipeline: Pipeline,
        observer: RequestObserver,
        clock: Clock,
        settings: DecisionsSettings,
        body_seconds: float,
    ) -> None:
        self._pipeline = pipeline
        self._observer = observer
        self._clock = clock
        self._token = settings.token
        self._url = settings.url
        self._body_seconds = body_seconds

    def serves(self, path: str) -> bool:
        if path == METADATA:
            return self._url is not None
        return self._token is not None and path in {EVALUATION, EVALUATIONS}

    async def answer(self, request: web.BaseRequest, request_id: str) -> Answer:
        """Raises Unanswerable."""
        if request.path == METADATA:
            return _said(self._metadata(), request_id)
        if not self._may_ask(request):
            refusal = answers.failure(Fault(FaultCode.CREDENTIAL_MISSING), request_id)
            challenge = (b"WWW-Authenticate", b'Bearer realm="authz-sidecar decisions"')
            return replace(refusal, headers=(*refusal.headers, challenge))
        try:
            given = authzen.body(await self._read(request))
            single = request.path == EVALUATION
            told = await (self._one(given, request_id) if single else self._several(given, request_id))
        except Malformed as malformed:
            raise Unanswerable(str(malformed), FaultCode.QUESTION_MALFORMED) from None
        except Unknown as unknown:
            return answers.refusal(unknown.decision)
        return _said(told, request_id)

    def _metadata(self) -> dict[str, Any]:
        """Where everything is (Authorization API 1.0, section 9)."""
        return {
            "policy_decision_point": self._url,
            "access_evaluation_endpoint": f"{self._url}{EVALUATION}",
            "access_evaluations_endpoint": f"{self._url}{EVALUATIONS}",
        }

    def _may_ask(self, request: web.BaseRequest) -> bool:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, f"Bearer {self._token}".encode())

    async def _read(self, request: web.BaseRequest) -> bytes:
        if request.method != "POST":
            raise Malformed("ask with POST")
        if request.content_type != "application/json":
            raise Malformed("Content-Type must be application/json")
        content = b""
        try:
            async with asyncio.timeout(self._body_seconds):
                while len(content) <= MAX_BODY_BYTES and (more := await request.content.readany()):
                    content += more
        except TimeoutError:
            raise Unanswerable("", FaultCode.REQUEST_TIMEOUT) from None
        except (ConnectionError, web.RequestPayloadError):
            raise Malformed("the body ends before its end, or is not framed as it says") from None
        if len(content) > MAX_BODY_BYTES:
            raise Unanswerable(f"at most {MAX_BODY_BYTES} bytes", FaultCode.BODY_TOO_LARGE)
        return content

    async def _one(self, given: Mapping[str, Any], request_id: str) -> dict[str, Any]:
        return authzen.answer(await self._verdict(authzen.question(given), request_id))

    async def _several(self, given: Mapping[str, Any], request_id: str) -> dict[str, Any]:
        batch, told = authzen.batch(given), list[dict[str, Any]]()
        if batch is None:
            return await self._one(given, request_id)
        for asked in batch.questions:
            if isinstance(asked, Malformed):
                told.append(authzen.error(asked))
            else:
                told.append(authzen.answer(await self._verdict(asked, request_id)))
            if batch.ends_with(allowed=told[-1]["decision"]):
                break
        return {"evaluations": told}

    async def _verdict(self, asked: Asked, request_id: str) -> Verdict:
        """Raises Unknown."""
        since = self._clock.monotonic()
        decision = await self._decide(asked, request_id)
        self._observer.decided(decision, self._clock.monotonic() - since)
        if decision.status == UNKNOWN_STATUS:
            raise Unknown(decision)
        return decision.verdict

    async def _decide(self, asked: Asked, request_id: str) -> Decision:
        pipeline = self._pipeline
        policy, what = pipeline.policy, f"{asked.action} {asked.resource_type}"
        wanted = policy.actions.get((asked.resource_type, asked.action))
        if wanted is None or asked.subject_type != SUBJECTS:
            code = Code.NO_RULE if wanted is None else Code.SUBJECT_UNKNOWN
            verdict, status = Verdict(code), TABLE[code].status
            return Decision(request_id, "", what, verdict, status, policy=policy.digest)
        decision = await pipeline.evaluate(asked.subject, wanted, request_id)
        return decision._replace(target=what, rule=f"authzen {what}")


def _said(document: Mapping[str, Any], request_id: str) -> Answer:
    return answers.document(json.dumps(document).encode() + b"\n", request_id)
