"""nginx: forwarding, and asking an authorization service (auth_request)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.bench.host import first_line
from lab.bench.peers.base import Peer, Work
from lab.stack.binaries import require

CONFIG = """
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log {log}; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    upstream protected {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
    upstream authorizer {{ server {authorizer}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ {ask} proxy_pass http://protected; }}
        location = /authorize {{
            internal;
            proxy_pass http://authorizer/; proxy_pass_request_body off; proxy_set_header Content-Length "";
            proxy_set_header X-Forwarded-Method $request_method;
            proxy_set_header X-Forwarded-Uri $request_uri;
        }}
    }}
}}
"""


class Nginx(Peer):
    name = "nginx"
    title = "nginx"
    work = Work.NOTHING
    ask = ""
    log = "off"

    def prepare(self) -> None:
        config = CONFIG.format(
            directory=self.directory,
            port=self.port,
            upstream=self.site.upstream,
            authorizer=self.site.authorizer,
            ask=self.ask,
            log=self.log.format(directory=self.directory),
        )
        (self.directory / "nginx.conf").write_text(config)

    def argv(self) -> Sequence[str | Path]:
        return [require("nginx"), "-p", self.directory, "-c", self.directory / "nginx.conf", "-e", "stderr"]

    def version(self) -> str:
        return first_line(require("nginx"), "-v").partition("nginx/")[2]


class NginxLogging(Nginx):
    name = "nginx-log"
    title = "nginx, access log"
    # As Debian's package has it.
    log = "{directory}/access.log combined"


class NginxAsking(Nginx):
    name = "nginx-auth-request"
    title = "nginx, auth_request"
    work = Work.ASKS
    # A directive of its own for the protected location only.
    ask = "auth_request /authorize;"
