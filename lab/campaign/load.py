"""A steady load of mutating requests on all sidecars, and a line for what became of each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from lab.campaign.population import Population
from lab.campaign.tokens import Mint

HUNG_AFTER = 30.0
"""Seconds after which a request without an answer is given up and counted as hung."""
WITH_MIN_REVISION = 0.15
"""Share of the requests that ask for the newest revision a writer was told."""
METHODS = (
    ("POST", "/students/"),
    ("PUT", "/students/7/"),
    ("PATCH", "/students/7/"),
    ("DELETE", "/students/7/"),
)


class Load:
    """Sends `rate` requests a second to `targets` (sidecars by name) until it is stopped."""

    def __init__(
        self,
        targets: dict[str, str],
        population: Population,
        mint: Mint,
        newest: Callable[[], str | None],
        random: Random,
        path: Path,
        rate: float,
    ) -> None:
        self._targets = targets
        self._population = population
        self._mint = mint
        self._newest = newest
        self._random = random
        self._file = path.open("w", encoding="utf-8")
        self._rate = rate
        self.answers: list[dict[str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = Thread(target=self._loop.run_until_complete, args=[self._run()], name="load")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send no more, and wait for the answers under way."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()
        self._file.close()

    async def _run(self) -> None:
        # One request a connection: the client must not send a request again by itself.
        connector = TCPConnector(limit=0, force_close=True)
        timeout = ClientTimeout(total=HUNG_AFTER)
        async with (
            ClientSession(connector=connector, timeout=timeout, cookie_jar=DummyCookieJar()) as session,
            asyncio.TaskGroup() as requests,
        ):
            while not self._stopping.is_set():
                requests.create_task(self._request(session))
                await asyncio.sleep(self._random.expovariate(self._rate))

    async def _request(self, session: ClientSession) -> None:
        sidecar = self._random.choice(list(self._targets))
        method, path = self._random.choice(METHODS)
        sub = str(self._random.choice(self._population.users))
        line: dict[str, Any] = {"request_id": f"{self._random.getrandbits(96):024x}", "sidecar": sidecar}
        headers = {"Authorization": f"Bearer {self._mint.token(sub)}", "X-Request-Id": line["request_id"]}
        newest = self._newest()
        if newest is not None and self._random.random() < WITH_MIN_REVISION:
            headers["Authz-Min-Revision"] = line["min_revision"] = newest
        line["sent_at"] = time.time()
        line |= await _answer(session, method, self._targets[sidecar] + path, headers)
        line["answered_at"] = time.time()
        if line["status"] == 401:
            self._mint.refused(sub)
        self.answers.append(line)
        self._file.write(json.dumps(line) + "\n")


async def _answer(session: ClientSession, method: str, url: str, headers: dict[str, str]) -> dict[str, Any]:
    """Status and code; no status when the connection broke."""
    try:
        async with session.request(method, url, headers=headers, json={"name": "x"}) as response:
            body = await response.json(content_type=None)
            return {"status": response.status, "code": body.get("code")}
    except TimeoutError:
        return {"status": None, "code": None, "hung": True}
    except (ClientError, OSError, ValueError):
        return {"status": None, "code": None}
