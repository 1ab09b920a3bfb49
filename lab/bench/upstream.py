"""The protected service of the bench: answers at once, and counts what reaches it."""

from __future__ import annotations

import re
from urllib.request import urlopen

from lab.stack.binaries import require
from lab.stack.daemon import Daemon
from lab.stack.process import Process, free_port, wait_for

STATUS = 201
ANSWER = (
    '{"id":1815,"name":"Ada Lovelace","roll_number":"A-1815","email":"ada@example.org","status":"enrolled"}'
)

# A request of the status page counts too, which is why it is asked of another server block and subtracted.
CONFIG = """
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr warn;
events {{ worker_connections 20000; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    default_type application/json;
    server {{ listen 127.0.0.1:{port} backlog=20000; location / {{ return {status} '{answer}'; }} }}
    server {{ listen 127.0.0.1:{status_port}; location / {{ stub_status; }} }}
}}
"""


class Echo(Daemon):
    """nginx, with an answer from its configuration."""

    name = "upstream"

    def __init__(self) -> None:
        super().__init__()
        self._status_port = free_port()
        self._asked = 0

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def prepare(self) -> None:
        config = CONFIG.format(
            directory=self.directory,
            port=self.port,
            status_port=self._status_port,
            status=STATUS,
            answer=ANSWER,
        )
        (self.directory / "nginx.conf").write_text(config)

    def make_process(self) -> Process:
        directory = str(self.directory)
        argv = [require("nginx"), "-p", directory, "-c", f"{directory}/nginx.conf", "-e", "stderr"]
        return Process(argv, log_path=self.log_path)

    def requests(self) -> int:
        """How many requests reached it so far."""
        with urlopen(f"http://127.0.0.1:{self._status_port}/", timeout=5) as answer:
            page = answer.read().decode()
        self._asked += 1
        counters = re.search(r"\n (\d+) (\d+) (\d+) ", page)
        if counters is None:
            raise ValueError(f"not nginx's status page: {page!r}")
        return int(counters[3]) - self._asked

    def settled(self, expected: int) -> int:
        """The count once it is at least `expected`: an answer can overtake its own counter."""
        return wait_for(lambda: found if (found := self.requests()) >= expected else 0, 5, "upstream's count")
