"""The signing keys, kept fresh: in the background, and once more when a token names an unknown one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, NamedTuple

from aiohttp import ClientError, ClientSession

from authz_sidecar.authn.key_set import EMPTY, Key, KeyName, KeySet
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.core.errors import MalformedMessage, Unavailable
from authz_sidecar.core.ports import Clock, KeysStatus
from authz_sidecar.core.verdicts import Code, Verdict
from authz_sidecar.reasons import reason

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 60.0
RETRY_SECONDS = 5.0
ASK_AGAIN_SECONDS = 1.0
"""Unknown keys cause at most one request in this time: a key must be published that long before it signs."""
MAX_BYTES = 1024 * 1024


class Published(NamedTuple):
    """A key set as it was published; `None` while none was fetched. `at`: asked for then, on our clock."""

    body: bytes | None
    at: float
    failure: str | None
    """Why it could not be fetched again since; `None` when that has not failed."""


class HeldKeys(ABC):
    """Implements `tokens.Keys` with the last good set of one issuer. Failures never replace it; age does."""

    def __init__(self, settings: Issuer, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._set = EMPTY
        self._set_at = -math.inf
        self._failure: str | None = "they have not been fetched yet"

    def find(self, name: KeyName) -> Key | None:
        """The key of this name, if the set is young enough to be believed."""
        return self._set.keys.get(name) if self._age() <= self._settings.jwks_max_age else None

    def _age(self) -> float:
        return self._clock.monotonic() - self._set_at

    def status(self) -> KeysStatus:
        age = self._age()
        kids = self._set.kids if age <= self._settings.jwks_max_age else ()
        return KeysStatus(tuple(kids), age if math.isfinite(age) else None, self._failure)

    def take(self, published: Published) -> bool:
        """Hold what was published. Whether it differs from before. Raises MalformedMessage."""
        before = self._set
        if published.body is not None and published.at >= self._set_at:
            self._set = KeySet.parse(published.body).after(before)
            self._set_at = published.at
        self._failure = published.failure
        return self._set != before

    @abstractmethod
    async def ask(self) -> None:
        """Have the keys fetched, unless they were asked for a moment ago."""

    async def learn(self, name: KeyName, tried: Key | None = None) -> Verdict | None:
        """Ask for a key that is not at hand, or that may have changed: as `tokens.Keys` has it."""
        await self.ask()
        if self._failure is not None:
            return Verdict(Code.KEYS_UNKNOWN, "the signing keys cannot be fetched now")
        found = self.find(name)
        if found is not None and found is not tried:
            return None
        if found is not None:
            detail = "the access token has a bad signature"
        elif name[0] is None:
            detail = "the access token does not name its key, and not exactly one key fits"
        else:
            detail = "the access token is signed with an unknown key"
        return Verdict(Code.TOKEN_INVALID, detail)


class KeyRefresher(HeldKeys):
    """Fetches them."""

    def __init__(self, session: ClientSession, settings: Issuer, clock: Clock) -> None:
        super().__init__(settings, clock)
        self._session = session
        self._asked_at = -math.inf
        self.published = Published(None, -math.inf, self._failure)
        """What was fetched last that was good, and what has failed since."""
        self.on_tried: Callable[[], None] = lambda: None
        """Called when `published` may be another."""
        self._flight: asyncio.Task[bool] | None = None
        self._background: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to refresh. Does not wait: an endpoint that is down must not hold up the start."""
        self._background = asyncio.create_task(self._keep_fresh())

    async def stop(self) -> None:
        for task in (self._background, self._flight):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def ask(self) -> None:
        if self._flight or self._clock.monotonic() - self._asked_at >= ASK_AGAIN_SECONDS:
            await self.refresh()

    async def refresh(self) -> bool:
        """Fetch the keys now, together with everyone else who asks meanwhile. Whether it worked."""
        if self._flight is None:
            self._flight = asyncio.create_task(self._try())
            self._flight.add_done_callback(self._landed)
        return await asyncio.shield(self._flight)

    def _landed(self, _: asyncio.Task[bool]) -> None:
        self._flight = None

    async def _keep_fresh(self) -> None:
        while True:
            try:
                fresh = await self.refresh()
            except Exception:  # even a defect of ours must not end the refreshing unnoticed
                logger.exception("signing keys: the refresh failed")
                fresh = False
            await asyncio.sleep(REFRESH_SECONDS if fresh else RETRY_SECONDS)

    async def _try(self) -> bool:
        self._asked_at = asked_at = self._clock.monotonic()
        try:
            found = Published(await published(self._session, self._settings), asked_at, None)
            if self.take(found):
                self._tell()
            self.published = found
        except (Unavailable, MalformedMessage) as error:
            self._failure = f"{self._settings.keys_place}: {error}"
            self.published = self.published._replace(failure=self._failure)
            logger.warning("signing keys: %s", self._failure)
            return False
        finally:
            self.on_tried()
        return True

    def _tell(self) -> None:
        logger.info("signing keys: %s", ", ".join(self._set.kids))
        for kid in sorted(self._set.ambiguous):
            logger.warning("signing keys: different ones are called %s, which is meant is not known", kid)


class FollowedKeys(HeldKeys):
    """Somebody else fetches them, and has `take` called with what came of it."""

    def __init__(
        self, settings: Issuer, clock: Clock, fetch: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """`fetch` returns when that one has been asked and answered; it raises Unavailable."""
        super().__init__(settings, clock)
        self._fetch = fetch

    async def ask(self) -> None:
        try:
            await self._fetch()
        except Unavailable as error:
            self._failure = str(error)


class KeysByIssuer:
    """The keys of all issuers."""

    def __init__(self, by_issuer: Mapping[str, HeldKeys]) -> None:
        self.by_issuer = by_issuer

    def statuses(self) -> Mapping[str, KeysStatus]:
        """By issuer."""
        return {name: keys.status() for name, keys in self.by_issuer.items()}

    def status(self) -> KeysStatus:
        """All of them taken together: every key, the greatest age, and what fails for whom."""
        each = self.statuses()
        ages = [status.age for status in each.values()]
        known = [age for age in ages if age is not None]
        failures = {name: status.failure for name, status in each.items() if status.failure is not None}
        named = len(each) > 1
        told = [f"{name}: {failure}" if named else failure for name, failure in failures.items()]
        return KeysStatus(
            tuple(kid for status in each.values() for kid in status.kids),
            max(known) if len(known) == len(ages) else None,
            "; ".join(told) or None,
        )


class IssuersKeys(KeysByIssuer):
    """Each refreshed for itself."""

    def __init__(self, session: ClientSession, issuers: Iterable[Issuer], clock: Clock) -> None:
        self.refreshers = {each.issuer: KeyRefresher(session, each, clock) for each in issuers}
        super().__init__(self.refreshers)

    async def start(self) -> None:
        """Does not wait for any."""
        for keys in self.refreshers.values():
            await keys.start()

    async def stop(self) -> None:
        for keys in self.refreshers.values():
            await keys.stop()


async def published(session: ClientSession, issuer: Issuer) -> bytes:
    """The key set of an issuer, as it publishes it now. Raises Unavailable or MalformedMessage."""
    url = issuer.jwks_url
    if url is None:
        url = discovered(await fetch(session, issuer.discovery_url), issuer)
    return await fetch(session, url)


def discovered(body: bytes, issuer: Issuer) -> str:
    """Where a discovery document (OpenID Connect Discovery 1.0) says the keys are. Raises MalformedMessage.

    It must be this issuer's own, and must not lead from a protected connection to one that is not.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedMessage("discovery: not JSON") from None
    if not isinstance(document, dict) or document.get("issuer") != issuer.issuer:
        raise MalformedMessage("discovery: issuer: is another")
    url = document.get("jwks_uri")
    secure = issuer.issuer.startswith("https://")
    if not isinstance(url, str) or not url.startswith(("https://",) if secure else ("https://", "http://")):
        raise MalformedMessage("discovery: jwks_uri: must be a URL" + (" of https" if secure else ""))
    return url


async def fetch(session: ClientSession, url: str, max_bytes: int = MAX_BYTES) -> bytes:
    """What is published there. Raises Unavailable, or MalformedMessage when there is too much of it."""
    try:
        async with session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise Unavailable(f"answered {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    raise MalformedMessage(f"more than {max_bytes} bytes")
            return bytes(body)
    except (ClientError, OSError, ValueError) as error:  # OSError includes TimeoutError
        raise Unavailable(reason(error)) from error
