"""`python -m lab.screenshots`: the pictures in docs/, of a real page in a real browser and of real commands.

Needs `chromium-headless-shell` (`python -m lab.setup.bootstrap chromium-headless-shell`).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab import ROOT, terminal
from lab.stack.browser import Browser, browser
from lab.stack.client import People, call
from lab.stack.daemon import Daemon
from lab.stack.process import free_port
from lab.stack.servers import RabbitMQ, Redis
from lab.stack.services import Sidecar
from lab.stack.system import Stack

TOKEN = "screenshots"  # noqa: S105 (of a sidecar that lives for a minute)
WIDE, PHONE = (1180, 980), (390, 844)
BROKEN_SECONDS = 4
LOGGED_SECONDS = 1
ENV = {"AUTHZ_ADMIN_TOKEN": TOKEN, "AUTHZ_MAX_STALENESS": "2", "AUTHZ_RELOAD_INTERVAL": "1"}


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
    await save(name, await tab.picture())


async def save(name: str, picture: bytes) -> None:
    path = ROOT / "docs" / f"{name}.png"
    await asyncio.to_thread(path.write_bytes, picture)
    print(path.relative_to(ROOT), flush=True)


async def shoot_healthy(tab: Browser, people: People, sidecar: Sidecar) -> None:
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
    await tab.evaluate("document.querySelector('#refusals tr:nth-child(3) button').click()")
    await tab.until("document.querySelector('#now').innerText !== 'asking'")
    await shoot(tab, "page-why")
    await tab.evaluate("document.querySelector('#why').close()")


async def shoot_answers(tab: Browser, system: Stack, people: People, policy: Path) -> None:
    """What the commands say, of the sidecar and of one in shadow mode."""
    sidecar, shadow = system.sidecar, system.add_sidecar({**ENV, "AUTHZ_MODE": "shadow"})
    await asyncio.to_thread(traffic, people, shadow, 4)
    await asyncio.sleep(LOGGED_SECONDS)
    new = policy.with_name("new.yaml")
    logs = {sidecar: str(sidecar.log_path), shadow: str(shadow.log_path)}
    shown = {path: "decisions.jsonl" for path in logs.values()}
    shown |= {str(policy): "policy.yaml", str(new): "new.yaml"}
    env = {"AUTHZ_ADMIN_TOKEN": TOKEN, "AUTHZ_ADMIN_LISTEN": sidecar.env["AUTHZ_ADMIN_LISTEN"]}
    commands = {
        "explain": ["explain", "--subject=3", "DELETE", "/students/1/"],
        "replay": ["replay", f"--policy={new}", logs[sidecar]],
        "readiness": ["readiness", f"--policy={policy}", logs[shadow]],
    }
    for name, arguments in commands.items():
        await save(name, await terminal.picture(tab, arguments, env, shown))
    await see_another(tab, shadow, "page-shadow")


async def see_another(tab: Browser, sidecar: Sidecar, name: str) -> None:
    """One that has the same token, so that the browser is signed in already."""
    await tab.see(WIDE, "light")
    await tab.do("Page.navigate", url=sidecar.admin_url)
    await tab.until("document.querySelectorAll('#facts dd').length > 5")
    await shoot(tab, name)


async def shoot_user_service(tab: Browser, people: People, system: Stack) -> None:
    """Where administrators go, and what a user was given and lost."""
    url, grant = system.user_service.url, "users/2/permissions/students.add_student/"
    for method in ("PUT", "DELETE"):
        await asyncio.to_thread(people.api, grant, method)
    await tab.see(WIDE, "light")
    await tab.do("Page.navigate", url=f"{url}/api/auth/login/?next=/")
    await tab.until("document.querySelector('[name=username]') !== null")
    for field, value in (("username", "admin"), ("password", system.user_service.password)):
        await tab.evaluate(f"document.querySelector('[name={field}]').value = '{value}'")
    await tab.evaluate("document.querySelector('form').requestSubmit()")
    await tab.until("document.querySelector('h1')?.innerText === 'User service'")
    await shoot(tab, "user-service")
    await tab.do("Page.navigate", url=f"{url}/history/?user=alice")
    await tab.until("document.querySelectorAll('.lines li').length > 1")
    await shoot(tab, "user-history")


async def hide(tab: Browser, folder: Path) -> None:
    """As in the pictures of commands: where the files of this run lie is of no interest."""
    renamed = f"JSON.parse(JSON.stringify(found).replaceAll('{folder}', '/etc/authz'))"
    await tab.evaluate(f"window.shows = show; window.show = found => shows({renamed}); 0")


async def shoot_broken(tab: Browser, system: Stack, servers: Sequence[Daemon], policy: Path) -> None:
    """One thing after the other goes, and nothing comes back."""
    nowhere = f"http://127.0.0.1:{free_port()}/keys"
    await see_another(tab, system.add_sidecar({**ENV, "AUTHZ_JWKS_URL": nowhere}), "page-no-keys")
    sidecar = system.sidecar
    await tab.do("Page.navigate", url=sidecar.admin_url)
    await tab.until("document.querySelectorAll('#facts dd').length > 5")
    await hide(tab, policy.parent)
    for server, name in zip(servers, ("store", "broker"), strict=True):
        await asyncio.to_thread(server.stop)
        await tab.until(f"document.body.innerText.includes('{name} does not answer')")
        await shoot(tab, f"page-no-{name}")
    await asyncio.to_thread(policy.write_text, "version: 2\nrules: []\n")
    await asyncio.to_thread(system.user_service.stop)
    await tab.until("document.querySelector('#state').className === 'bad'")
    await tab.until("document.body.innerText.includes('configuration is rejected')")
    await asyncio.to_thread(call, f"{sidecar.url}/students/3/", "PATCH", token="x", data={})  # noqa: S106 (no token of anybody)
    await asyncio.sleep(BROKEN_SECONDS)
    await shoot(tab, "page-stale")


async def shoot_all(system: Stack, servers: Sequence[Daemon], policy: Path) -> None:
    people = People(system.user_service.url, system.user_service.password)
    async with browser() as tab:
        await shoot_healthy(tab, people, system.sidecar)
        await shoot_user_service(tab, people, system)
        await shoot_answers(tab, system, people, policy)
        await shoot_broken(tab, system, servers, policy)


def main() -> int:
    with tempfile.TemporaryDirectory() as directory, Redis() as redis, RabbitMQ() as rabbitmq:
        policy = Path(directory) / "policy.yaml"
        policy.write_text((ROOT / "compose" / "policy.yaml").read_text())
        another = policy.read_text().replace("permission: students.delete_student", "allow: authenticated")
        policy.with_name("new.yaml").write_text(another)
        env = {**ENV, "AUTHZ_POLICY": str(policy)}
        with Stack(redis=redis, rabbitmq=rabbitmq, sidecar_env=env) as system:
            asyncio.run(shoot_all(system, (redis, rabbitmq), policy))
    return 0


if __name__ == "__main__":
    sys.exit(main())
