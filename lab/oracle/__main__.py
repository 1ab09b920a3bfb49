"""`python -m lab.oracle`: as `authz-sidecar run`, settings from the environment alone."""

from __future__ import annotations

import os
import sys

from aiohttp import web

from authz_sidecar import app, process
from authz_sidecar.config import configuration
from authz_sidecar.config.configuration import Sources
from authz_sidecar.pipeline import Pipeline
from lab.oracle.plain import Proxy, Upstream, client_session


class PlainSidecar(app.Sidecar):
    """Everything but the byte path is the product's own."""

    async def proxy_runner(self, pipeline: Pipeline) -> web.ServerRunner:
        session = await self.stack.enter_async_context(client_session())
        address = self.settings.upstream
        url = f"http{'s' if address.tls else ''}://{address.authority}"
        upstream = Upstream(url, session, self.settings.trusts)
        proxy = Proxy(pipeline, upstream, self.request_hooks, self.clock)
        return web.ServerRunner(proxy.server(), shutdown_timeout=1)


def main() -> int:
    return process.run(configuration.read(Sources({}, os.environ)), PlainSidecar)


if __name__ == "__main__":
    sys.exit(main())
