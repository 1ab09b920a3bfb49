"""`python -m lab.screenshots`: the pictures of the admin page in docs/, of a real one in a real browser.

Needs `chromium-headless-shell` (`python -m lab.setup.bootstrap chromium-headless-shell`).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from lab import ROOT
from lab.stack.browser import Browser, browser
from lab.stack.client import People, call
from lab.stack.services import Sidecar
from lab.stack.system import Stack

TOKEN = "screenshots"  # noqa: S105 (of a sidecar that lives for a minute)
WIDE, PHONE = (1180, 980), (390, 844)
BROKEN_SECONDS = 4


async def sign_in(tab: Browser, url: str) -> None:
    await tab.do("Page.navigate", url=url)
    await tab.until("document.querySelector('#token') !== null")
    await tab.evaluate(f"document.querySelector('#token').value = '{TOKEN}'")
    await tab.evaluate("document.querySelector('form').requestSubmit()")
    await tab.until("document.querySelectorAll('#facts dd').length > 5")


def traffic(people: People, sidecar: Sidecar, rounds: int) -> None:
    for _ in range(rounds):
        for name, method, path in [
            ("alice", "POST", "/students/"),
            ("bob", "DELETE", "/students/1/"),
            ("", "PATCH", "/students/3/"),
            ("alice", "POST", "/teachers/"),
            ("", "GET", "/students/"),
        ]:
            token = people.pass_of(name) if name else ""
            call(f"{sidecar.url}{path}", method, token=token, data={} if method != "GET" else None)


async def shoot(tab: Browser, name: str) -> None:
    path = ROOT / "docs" / f"{name}.png"
    await asyncio.to_thread(path.write_bytes, await tab.picture())
    print(path.relative_to(ROOT))


async def shoot_all(system: Stack, policy: Path) -> None:
    people = People(system.user_service.url, system.user_service.password)
    sidecar = system.sidecar
    async with browser() as tab:
        await tab.see(WIDE, "light")
        await sign_in(tab, sidecar.admin_url)
        for _ in range(12):
            await asyncio.to_thread(traffic, people, sidecar, 3)
            await asyncio.sleep(0.3)
        await tab.until("document.querySelectorAll('#charts svg').length > 2")
        await shoot(tab, "page")
        await tab.see(WIDE, "dark")
        await shoot(tab, "page-dark")
        await tab.see(PHONE, "light")
        await shoot(tab, "page-phone")
        await tab.see(WIDE, "light")
        await asyncio.to_thread(policy.write_text, "version: 2\nrules: []\n")
        await asyncio.to_thread(system.user_service.stop)
        await tab.until("!document.querySelector('#problems').hidden")
        await tab.until("document.querySelector('#state').className === 'bad'")
        await asyncio.to_thread(call, f"{sidecar.url}/students/3/", "PATCH", token="x", data={})  # noqa: S106 (no token of anybody)
        await asyncio.sleep(BROKEN_SECONDS)
        await shoot(tab, "page-stale")


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        policy = Path(directory) / "policy.yaml"
        policy.write_text((ROOT / "compose" / "policy.yaml").read_text())
        env = {
            "AUTHZ_ADMIN_TOKEN": TOKEN,
            "AUTHZ_POLICY": str(policy),
            "AUTHZ_MAX_STALENESS": "2",
            "AUTHZ_RELOAD_INTERVAL": "1",
        }
        with Stack(sidecar_env=env) as system:
            asyncio.run(shoot_all(system, policy))
    return 0


if __name__ == "__main__":
    sys.exit(main())
