"""The decision log: a line for what the sidecar decided, and for what it ended by itself."""

from __future__ import annotations

import random
from collections.abc import Callable

from authz_sidecar.core.verdicts import FORWARDED, Decision, Failure
from authz_sidecar.observe.composed import Composer
from authz_sidecar.observe.lines import LineQueue


class DecisionLog:
    """Tells of refusals and failures always, of allows at `sample_allows` (0 to 1). Never blocks."""

    def __init__(self, lines: LineQueue, wall: Callable[[], float], sample_allows: float = 1.0) -> None:
        self._lines = lines
        self._wall = wall
        self._sample_allows = sample_allows
        self._composer = Composer()

    def record(self, decision: Decision) -> None:
        if decision.verdict.code not in FORWARDED or self._sampled():
            self._lines.put(self._composer.decision(decision, self._wall()))

    def record_failure(self, failure: Failure) -> None:
        self._lines.put(self._composer.failure(failure, self._wall()))

    def _sampled(self) -> bool:
        return self._sample_allows >= 1 or random.random() < self._sample_allows  # noqa: S311 (a sample, no secret)
