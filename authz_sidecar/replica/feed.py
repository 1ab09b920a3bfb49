"""The User service's HTTP interface for sidecars."""

from __future__ import annotations

import aiohttp

from authz_sidecar.core.types import Clock


class Feed:
    """`base_url` of the User service, `token` the service credential; the session is not closed here."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, token: str, clock: Clock) -> None:
        raise NotImplementedError

    async def permissions(self) -> frozenset[str]:
        """The permission labels that exist."""
        raise NotImplementedError
