"""Request-based validation: one call to the User service for each mutating request."""

from __future__ import annotations

from authz_sidecar.core.types import Pending, Question, Verdict
from authz_sidecar.replica.feed import Feed


class RequestAuthorizer:
    """Implements `core.types.Authorizer` without any copy of the permissions."""

    def __init__(self, feed: Feed) -> None:
        raise NotImplementedError

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        raise NotImplementedError
