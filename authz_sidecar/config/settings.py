"""Settings: one table of variables and flags, parsed into frozen dataclasses, all errors at once."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from authz_sidecar.config import parsers
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.config.parsers import Address as Address
from authz_sidecar.config.parsers import Network
from authz_sidecar.core.errors import ConfigurationError, Problem


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """The admin port. Without a token, another address than loopback serves only health and metrics."""

    listen: Address
    token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class UserServiceSettings:
    """The source of truth: base URL without a final slash, credential, seconds one call may take."""

    url: str
    token: str = field(repr=False)
    timeout: float


@dataclass(frozen=True, slots=True)
class JwtSettings:
    """What an access token must be. `type` empty: any. `header` is lower case. Times in seconds."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    type: str
    header: str
    leeway: float
    revision_claims: bool
    jwks_url: str
    jwks_max_age: float


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """The copy of the permissions and how it is kept fresh. Times in seconds."""

    redis_url: str | None = field(repr=False)
    redis_prefix: str
    amqp_url: str | None = field(repr=False)
    feed_interval: float
    max_staleness: float
    near_cache_size: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the sidecar can be told."""

    listen: Address
    tls: ssl.SSLContext | None
    """For clients; `None`: they speak plain HTTP."""
    admin: AdminSettings
    upstream: str
    upstream_tls: ssl.SSLContext | None
    """For an https upstream; `None`: the system's authorities are trusted."""
    limits: ProxyLimits
    user_service: UserServiceSettings
    policy_path: Path
    jwt: JwtSettings
    replica: ReplicaSettings
    trusted_proxies: tuple[Network, ...]
    proxy_protocol: bool
    """Every connection begins with a PROXY header."""
    cors_origins: frozenset[str]
    validation: Literal["cached", "request"]
    mode: Literal["enforce", "shadow"]
    decision_log_sample: float
    log_level: str

    def trusts(self, peer: str) -> bool:
        """Whether the forwarding headers of this peer address are believed."""
        if not self.trusted_proxies or not parsers.is_ip(peer):
            return False
        address = ip_address(peer)
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self.trusted_proxies)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `default` is text as a user would write it; `None` is unset."""

    variable: str
    parse: Callable[[str], Any]
    help: str
    default: str | None = None
    required: bool = False
    secret: bool = False
    """May also be read from the file that `<variable>_FILE` names; never shown."""
    empty_counts: bool = False
    """An empty value means something of its own. Elsewhere it is the same as unset."""

    @property
    def flag(self) -> str:
        return "--" + self.variable.removeprefix("AUTHZ_").lower().replace("_", "-")


_REDIS = parsers.scheme(
    "redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"
)

_MIB = 1024 * 1024
_TIMEOUT = parsers.seconds(0.1, 86400)

TABLE: tuple[Setting, ...] = (
    Setting("AUTHZ_LISTEN", parsers.address, "address and port of the proxied service", "127.0.0.1:8080"),
    Setting("AUTHZ_TLS_CERT", parsers.readable_file, "certificate chain (PEM file): clients must speak TLS"),
    Setting("AUTHZ_TLS_KEY", parsers.readable_file, "its private key (PEM file, not encrypted)"),
    Setting("AUTHZ_ADMIN_LISTEN", parsers.address, "address and port of the admin pages", "127.0.0.1:9901"),
    Setting(
        "AUTHZ_ADMIN_TOKEN",
        parsers.credential,
        "credential for the admin port off loopback (unset: only health and metrics are served there)",
        secret=True,
    ),
    Setting(
        "AUTHZ_UPSTREAM",
        parsers.upstream,
        "the protected service, like http://127.0.0.1:8001 or unix:/run/service.sock",
        required=True,
    ),
    Setting(
        "AUTHZ_UPSTREAM_CA",
        parsers.authorities,
        "authorities (PEM file) that an https upstream's certificate must come from (unset: the system's)",
    ),
    Setting("AUTHZ_USER_SERVICE", parsers.base_url, "base URL of the User service", required=True),
    Setting(
        "AUTHZ_SERVICE_TOKEN", parsers.credential, "credential for /authz/v1/*", required=True, secret=True
    ),
    Setting("AUTHZ_USER_SERVICE_TIMEOUT", parsers.seconds(0.1, 60), "seconds one call to it may take", "2"),
    Setting("AUTHZ_POLICY", Path, "policy file", required=True),
    Setting(
        "AUTHZ_MODE",
        parsers.choice("enforce", "shadow"),
        "`enforce`, or `shadow`: decide and log, never refuse",
        "enforce",
    ),
    Setting(
        "AUTHZ_VALIDATION",
        parsers.choice("cached", "request"),
        "`cached`: decide from the local copy; `request`: ask the User service each time",
        "cached",
    ),
    Setting("AUTHZ_JWT_ISSUER", parsers.printable, "required `iss` of access tokens", required=True),
    Setting("AUTHZ_JWT_AUDIENCE", parsers.printable, "required `aud` of access tokens", required=True),
    Setting("AUTHZ_JWT_ALGORITHMS", parsers.algorithms, "accepted signature algorithms", "RS256,ES256,EdDSA"),
    Setting("AUTHZ_JWT_TYPE", parsers.printable, "required `typ` (empty: any)", "at+jwt", empty_counts=True),
    Setting("AUTHZ_JWT_LEEWAY", parsers.seconds(0, 300), "seconds that clocks may differ", "5"),
    Setting(
        "AUTHZ_JWT_REVISION_CLAIMS",
        parsers.boolean,
        "require and obey `authz_gen` and `authz_rev`; `false` for tokens of another identity provider",
        "true",
    ),
    Setting(
        "AUTHZ_TOKEN_HEADER", parsers.token_header, "header that carries the access token", "Authorization"
    ),
    Setting(
        "AUTHZ_JWKS_URL", parsers.any_url, "signing keys (unset: /.well-known/jwks.json of the User service)"
    ),
    Setting(
        "AUTHZ_JWKS_MAX_AGE",
        parsers.seconds(60, 604800),
        "seconds the last good key set is used while it cannot be refreshed",
        "3600",
    ),
    Setting("AUTHZ_REDIS_URL", _REDIS, "Redis that keeps the copy (unset: in memory)", secret=True),
    Setting(
        "AUTHZ_REDIS_PREFIX",
        parsers.prefix,
        "prefix of the keys in Redis; one per protected service",
        "authz",
    ),
    Setting(
        "AUTHZ_AMQP_URL",
        parsers.scheme("amqp", "amqps"),
        "RabbitMQ that announces changes (unset: poll the feed)",
        secret=True,
    ),
    Setting(
        "AUTHZ_FEED_INTERVAL",
        parsers.seconds(0.01, 3600),
        "seconds between feed polls when there is no broker",
        "0.5",
    ),
    Setting(
        "AUTHZ_MAX_STALENESS",
        parsers.seconds(0.1, 86400),
        "seconds without proof of freshness before mutating requests get 503",
        "30",
    ),
    # A user with more groups than fit could never be decided on.
    Setting("AUTHZ_NEAR_CACHE_SIZE", parsers.count(1_000), "entities kept in the process", "100000"),
    Setting(
        "AUTHZ_TRUSTED_PROXIES",
        parsers.networks,
        "peers whose forwarding headers are believed, like 10.0.0.0/8",
        "",
    ),
    Setting(
        "AUTHZ_PROXY_PROTOCOL",
        parsers.choice("off", "required"),
        "`required`: only trusted proxies may connect, and must name the client (PROXY protocol, v1 or v2)",
        "off",
    ),
    Setting("AUTHZ_CORS_ORIGINS", parsers.origins, "browser origins that may read refusals (or `*`)", ""),
    Setting(
        "AUTHZ_DECISION_LOG_SAMPLE",
        parsers.fraction,
        "share of the allowed requests that the decision log keeps, 0 to 1; refusals are always kept",
        "1",
    ),
    Setting(
        "AUTHZ_LOG_LEVEL",
        parsers.choice("debug", "info", "warning", "error"),
        "least severity that is logged",
        "info",
    ),
    Setting("AUTHZ_MAX_TARGET_BYTES", parsers.count(256, _MIB), "longest request target, else 414", "16384"),
    Setting("AUTHZ_MAX_HEAD_BYTES", parsers.count(1024, _MIB), "largest request head, else 431", "65536"),
    Setting("AUTHZ_MAX_HEAD_FIELDS", parsers.count(8, 10_000), "most header fields, else 431", "256"),
    Setting(
        "AUTHZ_MAX_BODY_BYTES",
        parsers.count(0, 10**15),
        "largest request body, else 413 (unset: any; bodies pass through and are never held)",
    ),
    Setting("AUTHZ_MAX_CONNECTIONS", parsers.count(1), "most connections of clients, else 503", "20000"),
    Setting("AUTHZ_MAX_UPSTREAM_CONNECTIONS", parsers.count(1), "most connections to the service", "1000"),
    Setting("AUTHZ_HEAD_TIMEOUT", _TIMEOUT, "seconds a request's head may take, else 408", "10"),
    Setting("AUTHZ_BODY_TIMEOUT", _TIMEOUT, "seconds of silence in a request's body, else 408", "60"),
    Setting("AUTHZ_IDLE_TIMEOUT", _TIMEOUT, "seconds a client may be idle between two requests", "75"),
    Setting(
        "AUTHZ_CONNECT_TIMEOUT", _TIMEOUT, "seconds to reach the service, queueing included, else 504", "5"
    ),
    Setting("AUTHZ_RESPONSE_TIMEOUT", _TIMEOUT, "seconds of silence of the service, else 504", "60"),
    Setting("AUTHZ_UPSTREAM_IDLE_TIMEOUT", _TIMEOUT, "seconds a connection to it is kept unused", "30"),
    Setting(
        "AUTHZ_DRAIN_TIMEOUT", _TIMEOUT, "seconds that requests may take to end after a stop signal", "20"
    ),
)


def load(argv_flags: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Settings from flags (keyed by variable name) and environment; a flag wins.

    Raises ConfigurationError with every problem found.
    """
    problems: list[Problem] = []
    values = {s.variable: _value(s, argv_flags, environ, problems) for s in TABLE}
    problems += _contradictions(values)
    tls = _tls(values, problems)
    if problems:
        raise ConfigurationError(problems)
    return _build(values, tls)


def _value(
    setting: Setting, flags: Mapping[str, str], environ: Mapping[str, str], problems: list[Problem]
) -> object:
    """The parsed value of one setting, or `None` and perhaps a problem."""
    text = None
    try:
        text = _given(setting, flags, environ)
        if text is None or (text == "" and not setting.empty_counts):
            if setting.required:
                raise ValueError(f"is required: {setting.help} (or {setting.flag})")
            text = setting.default
        return None if text is None else setting.parse(text)
    except ValueError as error:
        place = setting.flag if setting.variable in flags else setting.variable
        harmless = text and not setting.secret and "@" not in text  # a URL may hold a password by mistake
        shown = f", not {text!r}" if harmless else ""
        problems.append(Problem(place, f"{error}{shown}"))
        return None


def _given(setting: Setting, flags: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    """What the user wrote, from the flag, the variable, or the file of a secret."""
    if setting.variable in flags:
        return flags[setting.variable]
    text = environ.get(setting.variable)
    path = environ.get(f"{setting.variable}_FILE") if setting.secret else None
    if not path:
        return text
    if text:
        raise ValueError(f"is set together with {setting.variable}_FILE: keep one of them")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"cannot be read from the file that {setting.variable}_FILE names: {error}"
        ) from error


def _contradictions(values: Mapping[str, object]) -> list[Problem]:
    """Settings that are fine alone and wrong together."""
    problems = []
    listen, admin = values["AUTHZ_LISTEN"], values["AUTHZ_ADMIN_LISTEN"]
    if isinstance(listen, Address) and listen == admin and listen.port:
        problems.append(Problem("AUTHZ_ADMIN_LISTEN", "must be another port than AUTHZ_LISTEN"))
    interval, bound = values["AUTHZ_FEED_INTERVAL"], values["AUTHZ_MAX_STALENESS"]
    if isinstance(interval, float) and isinstance(bound, float) and interval >= bound:
        problems.append(Problem("AUTHZ_FEED_INTERVAL", "must be shorter than AUTHZ_MAX_STALENESS"))
    if values["AUTHZ_PROXY_PROTOCOL"] == "required":
        problems += _proxy_protocol_contradictions(values)
    target, head = values["AUTHZ_MAX_TARGET_BYTES"], values["AUTHZ_MAX_HEAD_BYTES"]
    if isinstance(target, int) and isinstance(head, int) and target >= head:
        problems.append(Problem("AUTHZ_MAX_TARGET_BYTES", "must be less than AUTHZ_MAX_HEAD_BYTES"))
    upstream = values["AUTHZ_UPSTREAM"]
    if values["AUTHZ_UPSTREAM_CA"] and isinstance(upstream, str) and not upstream.startswith("https:"):
        problems.append(Problem("AUTHZ_UPSTREAM_CA", "must not be set unless AUTHZ_UPSTREAM is https://"))
    return problems


def _proxy_protocol_contradictions(values: Mapping[str, object]) -> list[Problem]:
    place, problems = "AUTHZ_PROXY_PROTOCOL", []
    if values["AUTHZ_TRUSTED_PROXIES"] == ():
        problems.append(Problem(place, "needs AUTHZ_TRUSTED_PROXIES: who else may name the client?"))
    if values["AUTHZ_TLS_CERT"] or values["AUTHZ_TLS_KEY"]:
        message = "cannot go with AUTHZ_TLS_CERT: its header comes before TLS; let the proxy end TLS"
        problems.append(Problem(place, message))
    return problems


def _tls(values: Mapping[str, Any], problems: list[Problem]) -> ssl.SSLContext | None:
    """What the listener proves itself with; certificate and key make sense only together."""
    certificate, key = values["AUTHZ_TLS_CERT"], values["AUTHZ_TLS_KEY"]
    given = {problem.place for problem in problems}
    if certificate is None or key is None:
        for this, other in (("CERT", key), ("KEY", certificate)):
            if other is not None and not given & {f"AUTHZ_TLS_{this}", f"--tls-{this.lower()}"}:
                problems.append(Problem(f"AUTHZ_TLS_{this}", "is required, too"))
        return None
    try:
        return parsers.server_identity(certificate, key)
    except ValueError as error:
        problems.append(Problem("AUTHZ_TLS_KEY", str(error)))
        return None


def _limits(value: Callable[[str], Any]) -> ProxyLimits:
    return ProxyLimits(
        head_bytes=value("MAX_HEAD_BYTES"),
        head_fields=value("MAX_HEAD_FIELDS"),
        target_bytes=value("MAX_TARGET_BYTES"),
        body_bytes=value("MAX_BODY_BYTES"),
        connections=value("MAX_CONNECTIONS"),
        upstream_connections=value("MAX_UPSTREAM_CONNECTIONS"),
        head_seconds=value("HEAD_TIMEOUT"),
        body_seconds=value("BODY_TIMEOUT"),
        idle_seconds=value("IDLE_TIMEOUT"),
        connect_seconds=value("CONNECT_TIMEOUT"),
        response_seconds=value("RESPONSE_TIMEOUT"),
        upstream_idle_seconds=value("UPSTREAM_IDLE_TIMEOUT"),
        drain_seconds=value("DRAIN_TIMEOUT"),
    )


def _build(values: Mapping[str, Any], tls: ssl.SSLContext | None) -> Settings:
    def value(name: str) -> Any:
        return values[f"AUTHZ_{name}"]

    user_service = UserServiceSettings(
        value("USER_SERVICE"), value("SERVICE_TOKEN"), value("USER_SERVICE_TIMEOUT")
    )
    return Settings(
        listen=value("LISTEN"),
        tls=tls,
        admin=AdminSettings(value("ADMIN_LISTEN"), value("ADMIN_TOKEN")),
        upstream=value("UPSTREAM"),
        upstream_tls=value("UPSTREAM_CA"),
        limits=_limits(value),
        user_service=user_service,
        policy_path=value("POLICY"),
        jwt=JwtSettings(
            issuer=value("JWT_ISSUER"),
            audience=value("JWT_AUDIENCE"),
            algorithms=value("JWT_ALGORITHMS"),
            type=value("JWT_TYPE"),
            header=value("TOKEN_HEADER"),
            leeway=value("JWT_LEEWAY"),
            revision_claims=value("JWT_REVISION_CLAIMS"),
            jwks_url=value("JWKS_URL") or f"{user_service.url}/.well-known/jwks.json",
            jwks_max_age=value("JWKS_MAX_AGE"),
        ),
        replica=ReplicaSettings(
            redis_url=value("REDIS_URL"),
            redis_prefix=value("REDIS_PREFIX"),
            amqp_url=value("AMQP_URL"),
            feed_interval=value("FEED_INTERVAL"),
            max_staleness=value("MAX_STALENESS"),
            near_cache_size=value("NEAR_CACHE_SIZE"),
        ),
        trusted_proxies=value("TRUSTED_PROXIES"),
        proxy_protocol=value("PROXY_PROTOCOL") == "required",
        cors_origins=value("CORS_ORIGINS"),
        validation=value("VALIDATION"),
        mode=value("MODE"),
        decision_log_sample=value("DECISION_LOG_SAMPLE"),
        log_level=value("LOG_LEVEL"),
    )


def markdown() -> str:
    """The settings as a Markdown table (docs/settings.md)."""
    rows = ["| variable | flag | meaning | default |", "|---|---|---|---|"]
    for setting in TABLE:
        default = "required" if setting.required else f"`{setting.default}`" if setting.default else "unset"
        rows.append(f"| `{setting.variable}` | `{setting.flag}` | {setting.help} | {default} |")
    return "\n".join(rows) + "\n"
