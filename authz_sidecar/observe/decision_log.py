"""The decision log: a line for what was decided or ended by the byte path itself, and one for its answer."""

from __future__ import annotations

import random
from collections.abc import Callable

from authz_sidecar.core.verdicts import FORWARDED, Answered, Decision, Failure
from authz_sidecar.observe.composed import Composer
from authz_sidecar.observe.lines import LineQueue


class DecisionLog:
    """Tells of refusals, failures and retries always, of allows at `sample_allows` (0 to 1). Never blocks."""

    def __init__(self, lines: LineQueue, wall: Callable[[], float], sample_allows: float = 1.0) -> None:
        self._lines = lines
        self._wall = wall
        self._sample_allows = sample_allows
        self._composer = Composer()

    def decided(self, decision: Decision) -> bool:
        """Whether it is told of."""
        told = decision.verdict.code not in FORWARDED or self._sampled()
        if told:
            self._lines.put(self._composer.decision(decision, self._wall()))
        return told

    def failed(self, failure: Failure) -> None:
        self._lines.put(self._composer.failure(failure, self._wall()))

    def retried(self, request_id: str) -> None:
        self._lines.put(self._composer.retry(request_id, self._wall()))

    def answered(self, answered: Answered) -> None:
        self._lines.put(self._composer.answer(answered, self._wall()))

    def _sampled(self) -> bool:
        return self._sample_allows >= 1 or random.random() < self._sample_allows  # noqa: S311 (a sample, no secret)
