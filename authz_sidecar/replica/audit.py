"""Warns of a bound on the audit's age that the User service cannot keep."""

from __future__ import annotations

import asyncio
import logging

from authz_sidecar.core.errors import MalformedMessage, Unavailable
from authz_sidecar.source import UserServiceClient

RETRY_SECONDS = 10.0

logger = logging.getLogger(__name__)


async def warn_of_bound(user_service: UserServiceClient, max_age: float) -> None:
    """Ends when the User service has answered once."""
    while True:
        try:
            head = await user_service.head()
        except (Unavailable, MalformedMessage):
            await asyncio.sleep(RETRY_SECONDS)
        else:
            _warn(head.audit_seconds, max_age)
            return


def _warn(seconds: int | None, max_age: float) -> None:
    if seconds is None:
        logger.warning("AUTHZ_MAX_AUDIT_AGE is set, and the User service does not audit its log: unset it")
    elif max_age < 2 * seconds:
        logger.warning(
            "AUTHZ_MAX_AUDIT_AGE is %g, and the User service compares its whole log every %d seconds: "
            "set it to %d or more, or healthy copies may be refused",
            max_age,
            seconds,
            2 * seconds,
        )
