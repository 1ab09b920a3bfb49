"""HAProxy: forwarding, and verifying RS256 with a map of who may."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.bench.host import first_line
from lab.bench.peers.base import Peer, Work
from lab.bench.seed import PERMISSION
from lab.stack.binaries import require

CONFIG = """
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    {log}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
    http-reuse always
frontend proxied
    bind 127.0.0.1:{port}
{rules}
    default_backend protected
backend protected
    server upstream {upstream}
"""

# The same questions that the sidecar answers: algorithm, signature, issuer, audience, expiry, permission.
RULES = """
    http-request set-var(txn.token) http_auth_bearer
    http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
    http-request set-var(txn.iss) var(txn.token),jwt_payload_query('$.iss')
    http-request set-var(txn.aud) var(txn.token),jwt_payload_query('$.aud')
    http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
    http-request set-var(txn.sub) var(txn.token),jwt_payload_query('$.sub')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}
    http-request deny deny_status 401 unless {{ var(txn.iss) -m str {issuer} }}
    http-request deny deny_status 401 unless {{ var(txn.aud) -m str {audience} }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify(txn.alg,"{public_key}") -m int 1 }}
    http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
    http-request deny deny_status 403 unless {{ var(txn.sub),map_str({permissions}) -m str {permission} }}
"""


class Haproxy(Peer):
    name = "haproxy"
    title = "HAProxy"
    work = Work.NOTHING
    log = ""

    def prepare(self) -> None:
        config = CONFIG.format(port=self.port, upstream=self.site.upstream, rules=self.rules(), log=self.log)
        (self.directory / "haproxy.cfg").write_text(config)

    def rules(self) -> str:
        return ""

    def argv(self) -> Sequence[str | Path]:
        return [require("haproxy"), "-db", "-f", self.directory / "haproxy.cfg"]

    def version(self) -> str:
        return first_line(require("haproxy"), "-v").split()[2]


class HaproxyVerifying(Haproxy):
    name = "haproxy-jwt"
    title = "HAProxy, jwt_verify + map"
    work = Work.TOKEN

    def rules(self) -> str:
        permissions = self.directory / "permissions.map"
        permissions.write_text("".join(f"{subject} {PERMISSION}\n" for subject in self.site.subjects))
        issuer = self.site.issuer
        return RULES.format(
            issuer=issuer.name,
            audience=issuer.audience,
            public_key=issuer.public_key_path,
            permissions=permissions,
            permission=PERMISSION,
        )


class HaproxyLogging(HaproxyVerifying):
    name = "haproxy-jwt-log"
    title = "HAProxy, jwt_verify + map, access log"
    log = "log stdout format raw local0\n    option httplog"
