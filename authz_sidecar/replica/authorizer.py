"""Event-fed validation: decides from the replica, fetching what the near cache lacks."""

from __future__ import annotations

from authz_sidecar.core.types import Pending, Question, Verdict
from authz_sidecar.replica.feed import Feed
from authz_sidecar.replica.sync import Replica


class CachedAuthorizer:
    """Implements `core.types.Authorizer`."""

    def __init__(self, replica: Replica, feed: Feed, max_staleness: float) -> None:
        raise NotImplementedError

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        raise NotImplementedError
