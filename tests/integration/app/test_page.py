"""The page in a real browser, while all that the sidecar depends on is away: it is readable all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lab.screenshots import PHONE, TOKEN, sign_in
from lab.stack.alone import Alone
from lab.stack.binaries import find
from lab.stack.browser import PROGRAM, browser
from lab.stack.process import free_port
from lab.wire.peers import Client

TEXT = "document.body.innerText"


async def test_a_person_signs_in_and_reads_what_is_wrong(start: Callable[..., Alone]) -> None:
    if find(PROGRAM) is None:
        pytest.skip(f"no browser is installed: python -m lab.setup.bootstrap {PROGRAM}")
    program = await asyncio.to_thread(start, f"http://127.0.0.1:{free_port()}", ADMIN_TOKEN=TOKEN)
    async with await Client.connect(program.port) as client:
        await client.send(b"POST /secret/?token=hidden HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        await client.contains(b" 403 ")
    async with browser() as tab:
        await tab.see(PHONE, "dark")
        await sign_in(tab, f"http://127.0.0.1:{program.admin_port}/")
        await tab.until("!document.querySelector('#problems').hidden")
        await tab.until(f"{TEXT}.includes('user service does not answer')")
        shown = await tab.evaluate(TEXT)
        assert "no signing keys: changes are refused" in shown
        assert "POST /secret/" in shown
        assert "no_rule" in shown
        assert "hidden" not in shown
        assert not await tab.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert await tab.evaluate("document.cookie") == ""
        await tab.evaluate("document.querySelector('#refusals button').click()")
        answered = "document.querySelector('#now').innerText !== 'asking'"
        await tab.until(f"document.querySelector('#why').open && {answered}")
        why = await tab.evaluate("document.querySelector('#why').innerText")
        assert "POST /secret/ by somebody unknown" in why
        assert "rule      none counts" in why
        program.process.stop()
        await tab.until(f"{TEXT}.includes('no answer from the sidecar')")
        assert "POST /secret/" in await tab.evaluate(TEXT)
