"""The table of settings: each is written once, and with it the field that it fills."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from math import inf
from pathlib import Path
from typing import Literal

from authz_sidecar.config import addresses, parsers
from authz_sidecar.config.addresses import Address, Network, UpstreamAddress
from authz_sidecar.config.decisions import DecisionsSettings
from authz_sidecar.config.identity import IdentitySettings
from authz_sidecar.config.jwt_settings import JwtSettings
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.config.server_tls import ServerTls
from authz_sidecar.config.setting import group, setting, settings_of
from authz_sidecar.config.token_places import TokenPlaceSettings
from authz_sidecar.config.traces import TraceSettings


@group
class AdminSettings:
    """The admin port. Without a token, another address than loopback serves only health and metrics."""

    listen: tuple[Address, ...] = setting(
        "AUTHZ_ADMIN_LISTEN",
        addresses.listeners,
        "address and port of the admin pages, or several, like those of AUTHZ_LISTEN",
        default="127.0.0.1:9901",
    )
    token: str | None = setting(
        "AUTHZ_ADMIN_TOKEN",
        parsers.credential,
        "credential for the admin port off loopback, and everywhere for its page, `/explain` and `/reload` "
        "(unset: off loopback only health and metrics are served, and those three nowhere)",
        default=None,
        secret=True,
    )

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return all(address.is_loopback for address in self.listen)


@group
class HandoverSettings:
    """How a newer version on the same machine takes the place of an older one."""

    path: Path | None = setting(
        "AUTHZ_HANDOVER",
        Path,
        "Unix socket over which a newer version takes the listening sockets over from this one, as this one "
        "did from an older one; its directory must be writable (unset: none)",
        default=None,
    )
    seconds: float = setting(
        "AUTHZ_HANDOVER_TIMEOUT",
        parsers.seconds(1, 3600),
        "seconds to become able to decide where listening sockets were handed over; until then nothing is "
        "accepted",
        default="120",
    )


@group
class UserServiceSettings:
    """The source of truth: base URL without a final slash, credential, seconds one call may take."""

    url: str = setting("AUTHZ_USER_SERVICE", addresses.base_url, "base URL of the User service")
    token: str = setting("AUTHZ_SERVICE_TOKEN", parsers.credential, "credential for /authz/v1/*", secret=True)
    timeout: float = setting(
        "AUTHZ_USER_SERVICE_TIMEOUT",
        parsers.seconds(0.1, 60),
        "seconds one call to it may take",
        default="2",
    )


_REDIS = addresses.scheme(
    "redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"
)


@group
class ReplicaSettings:
    """The copy of the permissions and how it is kept fresh. Times in seconds."""

    redis_url: str | None = setting(
        "AUTHZ_REDIS_URL",
        _REDIS,
        "Redis that keeps the copy (unset: in memory)",
        default=None,
        secret=True,
    )
    redis_prefix: str = setting(
        "AUTHZ_REDIS_PREFIX",
        parsers.prefix,
        "prefix of the keys in Redis; one per protected service",
        default="authz",
    )
    amqp_url: str | None = setting(
        "AUTHZ_AMQP_URL",
        addresses.scheme("amqp", "amqps"),
        "RabbitMQ that announces changes (unset: poll the feed)",
        default=None,
        secret=True,
    )
    feed_interval: float = setting(
        "AUTHZ_FEED_INTERVAL",
        parsers.seconds(0.01, 3600),
        "seconds between feed polls when there is no broker",
        default="0.5",
    )
    max_staleness: float = setting(
        "AUTHZ_MAX_STALENESS",
        parsers.seconds(0.1, 86400),
        "seconds without proof of freshness before mutating requests get 503",
        default="30",
    )
    max_audit_age: float | None = setting(
        "AUTHZ_MAX_AUDIT_AGE",
        parsers.seconds(1, 604800),
        "seconds within which the User service must have compared all of its log with its tables, "
        "or mutating requests get 503 (unset: no bound)",
        default=None,
    )
    near_cache_size: int = setting(
        "AUTHZ_NEAR_CACHE_SIZE",
        parsers.count(1_000),
        "entities kept in the process (more, where one user's groups alone need more)",
        default="100000",
    )

    @property
    def audit_bound(self) -> float:
        """`max_audit_age`; infinite when there is none."""
        return inf if self.max_audit_age is None else self.max_audit_age


@group
class Settings:
    """Everything the sidecar can be told."""

    listen: tuple[Address, ...] = setting(
        "AUTHZ_LISTEN",
        addresses.listeners,
        "address and port of the proxied service, or several, separated by commas; `[::]` is both families",
        default="127.0.0.1:8080",
    )
    tls: ServerTls
    admin: AdminSettings
    handover: HandoverSettings
    decisions: DecisionsSettings
    upstream: UpstreamAddress = setting(
        "AUTHZ_UPSTREAM",
        UpstreamAddress.parse,
        "the protected service, like http://127.0.0.1:8001 or unix:/run/service.sock",
    )
    upstream_tls: ssl.SSLContext | None = setting(
        "AUTHZ_UPSTREAM_CA",
        parsers.authorities,
        "authorities (PEM file) that an https upstream's certificate must come from (unset: the system's)",
        default=None,
    )
    user_service: UserServiceSettings
    policy_path: Path = setting("AUTHZ_POLICY", Path, "policy file")
    mode: Literal["enforce", "shadow"] = setting(
        "AUTHZ_MODE",
        parsers.choice("enforce", "shadow"),
        "`enforce`, or `shadow`: decide and log, and refuse only what is no sound request",
        default="enforce",
    )
    validation: Literal["cached", "request"] = setting(
        "AUTHZ_VALIDATION",
        parsers.choice("cached", "request"),
        "`cached`: decide from the local copy; `request`: ask the User service each time",
        default="cached",
    )
    jwt: JwtSettings
    token: TokenPlaceSettings
    identity: IdentitySettings
    replica: ReplicaSettings
    trusted_proxies: tuple[Network, ...] = setting(
        "AUTHZ_TRUSTED_PROXIES",
        addresses.networks,
        "peers whose forwarding headers are believed, like 10.0.0.0/8",
        default="",
    )
    proxy_protocol: bool = setting(
        "AUTHZ_PROXY_PROTOCOL",
        parsers.switch(off="off", on="required"),
        "`required`: only trusted proxies may connect, and must name the client (PROXY protocol, v1 or v2)",
        default="off",
    )
    """Every connection begins with a PROXY header."""
    cors_origins: frozenset[str] = setting(
        "AUTHZ_CORS_ORIGINS",
        addresses.origins,
        "browser origins that may read refusals (or `*`); those named one by one also with credentials",
        default="",
    )
    request_id_header: str = setting(
        "AUTHZ_REQUEST_ID_HEADER",
        parsers.header_name,
        "header in which the service's answers carry the request's id, too, like X-Request-Id (unset: none)",
        default="",
    )
    decision_log_sample: float = setting(
        "AUTHZ_DECISION_LOG_SAMPLE",
        parsers.fraction,
        "share of the allowed requests that the decision log keeps, 0 to 1; refusals are always kept",
        default="1",
    )
    reload_interval: float = setting(
        "AUTHZ_RELOAD_INTERVAL",
        parsers.seconds(0, 3600),
        "seconds between looks at the files of policy, certificates and secrets; what has changed is put "
        "into force without a restart (0: only on SIGHUP and `POST /reload`)",
        default="5",
    )
    traces: TraceSettings
    workers: int = setting(
        "AUTHZ_WORKERS",
        parsers.count(1, 256),
        "processes that serve requests; with more than 1, one more follows the User service for all of them "
        "(limits are of the sidecar as a whole and divided among them)",
        default="1",
    )
    log_level: str = setting(
        "AUTHZ_LOG_LEVEL",
        parsers.choice("debug", "info", "warning", "error"),
        "least severity that is logged",
        default="info",
    )
    limits: ProxyLimits

    def trusts(self, peer: str) -> bool:
        """Whether the forwarding headers of this peer address are believed."""
        if not self.trusted_proxies or not addresses.is_ip(peer):
            return False
        address = ip_address(peer)
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self.trusted_proxies)


TABLE = tuple(settings_of(Settings))
"""All settings, in the order of the documentation."""
