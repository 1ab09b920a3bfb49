"""One tab of a real browser, spoken to by the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

from lab import DEADLINE
from lab.stack.binaries import require

PROGRAM = "chromium-headless-shell"
LOOK_SECONDS = 0.1


class Navigated(RuntimeError):
    """The page that was asked is no more: another is on its way."""


class Browser:
    """What a person does and sees there."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._session: str | None = None

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        await self._socket.send_json({"id": number, "method": method, "params": params, **session})
        async with asyncio.timeout(DEADLINE):
            while (answer := await self._socket.receive_json()).get("id") != number:
                pass
        if "error" in answer:
            gone = "navigated" in answer["error"]["message"]
            raise (Navigated if gone else RuntimeError)(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def open_tab(self) -> None:
        target = await self.do("Target.createTarget", url="about:blank")
        attached = await self.do("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]

    async def see(self, size: tuple[int, int], scheme: str) -> None:
        width, height = size
        await self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        await self.do("Emulation.setEmulatedMedia", features=[feature])

    async def until(self, condition: str) -> None:
        """Wait for what the page itself brings about."""
        async with asyncio.timeout(DEADLINE):
            while not await self._holds(condition):  # noqa: ASYNC110 (it is told of nothing)
                await asyncio.sleep(LOOK_SECONDS)

    async def _holds(self, condition: str) -> bool:
        try:
            return bool(await self.evaluate(condition))
        except Navigated:
            return False

    async def evaluate(self, expression: str) -> Any:
        found = await self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def picture(self) -> bytes:
        """What is seen now, as PNG."""
        shot = await self.do("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        argv = [require(PROGRAM), "--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-sandbox"]
        silent = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*argv, stdout=silent, stderr=silent)
        try:
            async with ClientSession() as session:
                address = await _address(Path(profile) / "DevToolsActivePort")
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    made = Browser(socket)
                    await made.open_tab()
                    yield made
        finally:
            process.terminate()
            await process.wait()


async def _address(said: Path) -> str:
    """Where it listens, once it has written that down."""
    async with asyncio.timeout(DEADLINE):
        while len(lines := await asyncio.to_thread(_lines, said)) < 2:  # noqa: ASYNC110 (it is told of nothing)
            await asyncio.sleep(LOOK_SECONDS)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
