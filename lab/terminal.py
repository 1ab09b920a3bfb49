"""Pictures of commands and what they print, drawn by a browser as a terminal would show them."""

from __future__ import annotations

import asyncio
import html
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from lab.stack.browser import Browser

WIDTH: Final = 1000
STYLE: Final = (
    "body{margin:0;background:#14181d;color:#dde3ea}"
    "pre{margin:0;padding:16px 18px;font:14px/1.45 monospace;white-space:pre-wrap;overflow-wrap:anywhere}"
    "b{color:#8fd3a6;font-weight:normal}"
)


def printed(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """What `authz-sidecar` with these arguments prints."""
    argv = [sys.executable, "-m", "authz_sidecar", *arguments]
    done = subprocess.run(argv, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


async def picture(
    tab: Browser, arguments: Sequence[str], environ: Mapping[str, str], shown: Mapping[str, str]
) -> bytes:
    """Of the command and its output. `shown`: what stands for the paths of this machine."""
    output = await asyncio.to_thread(printed, arguments, environ)
    text = " ".join(["authz-sidecar", *arguments])
    for path, name in shown.items():
        text, output = text.replace(path, name), output.replace(path, name)
    page = f"<style>{STYLE}</style><pre><b>$ {html.escape(text)}</b>\n{html.escape(output)}</pre>"
    await tab.see((WIDTH, 100), "dark")
    await tab.do("Page.navigate", url=f"data:text/html;charset=utf-8,{quote(page)}")
    await tab.until("document.querySelector('pre') !== null")
    height = await tab.evaluate("Math.ceil(document.querySelector('pre').getBoundingClientRect().height)")
    await tab.see((WIDTH, int(height)), "dark")
    return await tab.picture()
