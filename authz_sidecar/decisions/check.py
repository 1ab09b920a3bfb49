"""`/check`: may the request that a gateway holds go on? 200 lets it through, anything else is its refusal."""

from __future__ import annotations

from authz_sidecar import answers
from authz_sidecar.answers import Answer
from authz_sidecar.config.decisions import ForwardedHeaders
from authz_sidecar.core.ports import Clock, RequestObserver
from authz_sidecar.core.verdicts import Decision
from authz_sidecar.decisions import forwarded
from authz_sidecar.decisions.forwarded import Asking
from authz_sidecar.identity import IdentityHeaders
from authz_sidecar.pipeline import Pipeline


class Check:
    """Puts to the pipeline what the proxied port would, and tells the same observer."""

    def __init__(
        self,
        pipeline: Pipeline,
        observer: RequestObserver,
        clock: Clock,
        source: ForwardedHeaders | None,
        target_bytes: int,
        identity: IdentityHeaders | None = None,
    ) -> None:
        """`target_bytes`: the longest target that may be asked about."""
        self._pipeline = pipeline
        self._observer = observer
        self._clock = clock
        self._source = source
        self._target_bytes = target_bytes
        self._identity = identity

    async def answer(self, asking: Asking, request_id: str) -> tuple[Answer, bool]:
        """The answer, and whether the log has its decision. Raises Unanswerable."""
        since = self._clock.monotonic()
        head = forwarded.request(self._source, asking, self._target_bytes)
        if self._identity is not None:
            forwarded.check_spellings(asking.received, self._identity.names)
        found = self._pipeline.decide(head, request_id)
        decision = found if isinstance(found, Decision) else await found()
        told = self._observer.decided(decision, self._clock.monotonic() - since)
        return (answers.refusal(decision) if decision.status else self._leave(decision)), told

    def _leave(self, decision: Decision) -> Answer:
        told = self._identity.for_gateway(decision) if self._identity is not None else []
        return answers.leave(decision.request_id, told)
