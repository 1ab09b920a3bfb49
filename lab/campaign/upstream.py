"""The protected service: answers everything with 200 and writes down what reached it.

`python -m lab.campaign.upstream PORT FILE`. The line is written before the answer, and at once.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TextIO

from aiohttp import web


def application(log: TextIO) -> web.Application:
    async def receive(request: web.Request) -> web.Response:
        await request.read()
        line = {
            "request_id": request.headers.get("X-Request-Id"),
            "method": request.method,
            "at": time.time(),
        }
        log.write(json.dumps(line) + "\n")
        log.flush()
        return web.json_response({"ok": True})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receive)
    return app


def main(port: str, path: str) -> None:
    with Path(path).open("a", encoding="utf-8") as log:
        web.run_app(application(log), host="127.0.0.1", port=int(port), print=None, access_log=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
