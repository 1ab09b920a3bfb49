"""The warning about a bound on the audit's age: when it is given, and that it waits for an answer."""

from __future__ import annotations

import logging

import pytest

from authz_sidecar.core.errors import Unavailable
from authz_sidecar.core.wire import Head
from authz_sidecar.replica import audit

EPOCH = "3f2a9c1b-0000-4000-8000-000000000001"


class UserService:
    """Answers when it is asked for the second time."""

    def __init__(self, audit_seconds: int | None) -> None:
        self.audit_seconds = audit_seconds
        self.asked = 0

    async def head(self) -> Head:
        self.asked += 1
        if self.asked == 1:
            raise Unavailable("not yet")
        return Head(EPOCH, 1, 0.0, None, self.audit_seconds)


@pytest.mark.parametrize(
    ("audit_seconds", "max_age", "warning"),
    [
        (600, 1200.0, None),
        (
            600,
            1199.0,
            "AUTHZ_MAX_AUDIT_AGE is 1199, and the User service compares its whole log every 600 seconds",
        ),
        (None, 1200.0, "AUTHZ_MAX_AUDIT_AGE is set, and the User service does not audit its log"),
    ],
    ids=["twice as long", "shorter", "a service that does not audit"],
)
async def test_the_bound_is_compared_with_what_the_service_does(
    audit_seconds: int | None,
    max_age: float,
    warning: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(audit, "RETRY_SECONDS", 0.0)
    caplog.set_level(logging.WARNING)
    await audit.warn_of_bound(UserService(audit_seconds), max_age)  # type: ignore[arg-type]  # a stand-in
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (warning is not None)
    assert warning is None or messages[0].startswith(warning)
