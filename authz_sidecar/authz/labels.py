"""Warns of permissions that a policy names and the User service does not know: most are misspelt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from authz_sidecar.core.errors import MalformedMessage, Unavailable
from authz_sidecar.source import UserServiceClient

RETRY_SECONDS = 10.0

logger = logging.getLogger(__name__)


async def warn_of_unknown(user_service: UserServiceClient, labels: Iterable[str]) -> None:
    """Ends when the User service has answered once."""
    while True:
        try:
            existing = await user_service.permissions()
        except (Unavailable, MalformedMessage):
            await asyncio.sleep(RETRY_SECONDS)
        else:
            for label in sorted(set(labels) - existing):
                logger.warning(
                    "the policy names %s, which the User service does not know: nobody holds it", label
                )
            return
