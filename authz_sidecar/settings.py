"""Settings: one table of variables and flags, parsed into frozen dataclasses, all errors at once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

from authz_sidecar.core.errors import ConfigurationError, Problem

Network = IPv4Network | IPv6Network


class Address(NamedTuple):
    """Where to listen. Port 0 asks the system for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return self.host == "localhost" or (_is_ip(self.host) and ip_address(self.host).is_loopback)


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
    admin: AdminSettings
    upstream: str
    user_service: UserServiceSettings
    policy_path: Path
    jwt: JwtSettings
    replica: ReplicaSettings
    trusted_proxies: tuple[Network, ...]
    cors_origins: frozenset[str]
    validation: Literal["cached", "request"]
    mode: Literal["enforce", "shadow"]
    log_level: str

    def trusts(self, peer: str) -> bool:
        """Whether the forwarding headers of this peer address are believed."""
        if not self.trusted_proxies or not _is_ip(peer):
            return False
        address = ip_address(peer)
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self.trusted_proxies)


# Parsers raise ValueError with the mend as message, and never repeat the value: it may be a secret.


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _address(text: str) -> Address:
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\]:(\d{1,5})|([^\s:\[\]]+):(\d{1,5})", text, re.ASCII)
    if match is None:
        raise ValueError("must be host:port or [IPv6]:port, for example 127.0.0.1:8080")
    host, port = match[1] or match[3], int(match[2] or match[4])
    if match[1] and not _is_ip(host):
        raise ValueError("must have an IPv6 address between the brackets")
    if port > 65535:
        raise ValueError("must have a port between 0 and 65535")
    return Address(host, port)


def _url(text: str) -> SplitResult:
    """An absolute http(s) URL without what a client would silently drop or leak."""
    if not text.isascii() or any(c.isspace() or not c.isprintable() or c == "\\" for c in text):
        raise ValueError("must not contain spaces, backslashes, control or non-ASCII characters")
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError("must be an http:// or https:// URL with a host")
    if "@" in url.netloc:
        raise ValueError("must not contain a user name or password")
    if "#" in text:
        raise ValueError("must not contain a fragment (#)")
    try:
        _ = url.port
    except ValueError:
        raise ValueError("must have a port between 0 and 65535") from None
    return url


def _any_url(text: str) -> str:
    return _url(text).geturl()


def _base_url(text: str) -> str:
    if "?" in text:
        raise ValueError("must not contain a query (?)")
    return _url(text).geturl().rstrip("/")


def _origin(text: str) -> str:
    url = _base_url(text)
    if urlsplit(url).path:
        raise ValueError("must be scheme://host[:port] without a path")
    return url


def _origins(text: str) -> frozenset[str]:
    return frozenset("*" if item == "*" else _origin(item) for item in _items(text))


def _scheme(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        scheme, separator, rest = text.partition("://")
        if scheme not in schemes or not separator or not rest:
            raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return text

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = _number(text)
        if not low <= value <= high:
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}")
        return value

    return parse


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise ValueError("must be a whole number from 1 to 999999999")
    return int(text)


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return text

    return parse


def _boolean(text: str) -> bool:
    return _choice("true", "false")(text.lower()) == "true"


def _text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


def _credential(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("must be visible ASCII characters without spaces")
    return text


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(item) for item in _items(text))
    except ValueError as error:
        raise ValueError("must be addresses or networks like 10.0.0.0/8, separated by commas") from error


_SIGNATURES = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)


def _algorithms(text: str) -> frozenset[str]:
    algorithms = frozenset(_items(text))
    if not algorithms or not algorithms <= _SIGNATURES:
        raise ValueError(
            f"must be some of {','.join(sorted(_SIGNATURES))} (no HMAC, no 'none': not public-key signatures)"
        )
    return algorithms


_UNFIT_TOKEN_HEADERS = frozenset({"connection", "content-length", "cookie", "host", "transfer-encoding"})


def _token_header(text: str) -> str:
    # Names with "_" are dropped on every request, so a token could never arrive in one.
    if not re.fullmatch(r"[A-Za-z0-9-]+", text) or text.lower() in _UNFIT_TOKEN_HEADERS:
        raise ValueError("must be a header name of letters, digits and '-' that can carry a token")
    return text.lower()


def _prefix(text: str) -> str:
    if not re.fullmatch(r"[\w.:-]{1,64}", text, re.ASCII):
        raise ValueError("must be 1 to 64 letters, digits or ._:-")
    return text


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


_REDIS = _scheme("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")

TABLE: tuple[Setting, ...] = (
    Setting("AUTHZ_LISTEN", _address, "address and port of the proxied service", "127.0.0.1:8080"),
    Setting("AUTHZ_ADMIN_LISTEN", _address, "address and port of the admin pages", "127.0.0.1:9901"),
    Setting(
        "AUTHZ_ADMIN_TOKEN",
        _credential,
        "credential for the admin port off loopback (unset: only health and metrics are served there)",
        secret=True,
    ),
    Setting("AUTHZ_UPSTREAM", _origin, "the protected service, like http://127.0.0.1:8001", required=True),
    Setting("AUTHZ_USER_SERVICE", _base_url, "base URL of the User service", required=True),
    Setting("AUTHZ_SERVICE_TOKEN", _credential, "credential for /authz/v1/*", required=True, secret=True),
    Setting("AUTHZ_USER_SERVICE_TIMEOUT", _seconds(0.1, 60), "seconds one call to it may take", "2"),
    Setting("AUTHZ_POLICY", Path, "policy file", required=True),
    Setting(
        "AUTHZ_MODE",
        _choice("enforce", "shadow"),
        "`enforce`, or `shadow`: decide and log, never refuse",
        "enforce",
    ),
    Setting(
        "AUTHZ_VALIDATION",
        _choice("cached", "request"),
        "`cached`: decide from the local copy; `request`: ask the User service each time",
        "cached",
    ),
    Setting("AUTHZ_JWT_ISSUER", _text, "required `iss` of access tokens", required=True),
    Setting("AUTHZ_JWT_AUDIENCE", _text, "required `aud` of access tokens", required=True),
    Setting("AUTHZ_JWT_ALGORITHMS", _algorithms, "accepted signature algorithms", "RS256,ES256,EdDSA"),
    Setting("AUTHZ_JWT_TYPE", _text, "required `typ` (empty: any)", "at+jwt", empty_counts=True),
    Setting("AUTHZ_JWT_LEEWAY", _seconds(0, 300), "seconds that clocks may differ", "5"),
    Setting(
        "AUTHZ_JWT_REVISION_CLAIMS",
        _boolean,
        "require and obey `authz_gen` and `authz_rev`; `false` for tokens of another identity provider",
        "true",
    ),
    Setting("AUTHZ_TOKEN_HEADER", _token_header, "header that carries the access token", "Authorization"),
    Setting("AUTHZ_JWKS_URL", _any_url, "signing keys (unset: /.well-known/jwks.json of the User service)"),
    Setting(
        "AUTHZ_JWKS_MAX_AGE",
        _seconds(60, 604800),
        "seconds the last good key set is used while it cannot be refreshed",
        "3600",
    ),
    Setting("AUTHZ_REDIS_URL", _REDIS, "Redis that keeps the copy (unset: in memory)", secret=True),
    Setting("AUTHZ_REDIS_PREFIX", _prefix, "prefix of the keys in Redis; one per protected service", "authz"),
    Setting(
        "AUTHZ_AMQP_URL",
        _scheme("amqp", "amqps"),
        "RabbitMQ that announces changes (unset: poll the feed)",
        secret=True,
    ),
    Setting(
        "AUTHZ_FEED_INTERVAL",
        _seconds(0.01, 3600),
        "seconds between feed polls when there is no broker",
        "0.5",
    ),
    Setting(
        "AUTHZ_MAX_STALENESS",
        _seconds(0.1, 86400),
        "seconds without proof of freshness before mutating requests get 503",
        "30",
    ),
    Setting("AUTHZ_NEAR_CACHE_SIZE", _count, "entities kept in the process", "100000"),
    Setting(
        "AUTHZ_TRUSTED_PROXIES", _networks, "peers whose forwarding headers are believed, like 10.0.0.0/8", ""
    ),
    Setting("AUTHZ_CORS_ORIGINS", _origins, "browser origins that may read refusals (or `*`)", ""),
    Setting(
        "AUTHZ_LOG_LEVEL",
        _choice("debug", "info", "warning", "error"),
        "least severity that is logged",
        "info",
    ),
)


def load(argv_flags: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Settings from flags (keyed by variable name) and environment; a flag wins.

    Raises ConfigurationError with every problem found.
    """
    problems: list[Problem] = []
    values = {s.variable: _value(s, argv_flags, environ, problems) for s in TABLE}
    problems += _contradictions(values)
    if problems:
        raise ConfigurationError(problems)
    return _build(values)


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
    return problems


def _build(values: Mapping[str, Any]) -> Settings:
    def value(name: str) -> Any:
        return values[f"AUTHZ_{name}"]

    user_service = UserServiceSettings(
        value("USER_SERVICE"), value("SERVICE_TOKEN"), value("USER_SERVICE_TIMEOUT")
    )
    return Settings(
        listen=value("LISTEN"),
        admin=AdminSettings(value("ADMIN_LISTEN"), value("ADMIN_TOKEN")),
        upstream=value("UPSTREAM"),
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
        cors_origins=value("CORS_ORIGINS"),
        validation=value("VALIDATION"),
        mode=value("MODE"),
        log_level=value("LOG_LEVEL"),
    )


def markdown() -> str:
    """The settings as a Markdown table (docs/settings.md)."""
    rows = ["| variable | flag | meaning | default |", "|---|---|---|---|"]
    for setting in TABLE:
        default = "required" if setting.required else f"`{setting.default}`" if setting.default else "unset"
        rows.append(f"| `{setting.variable}` | `{setting.flag}` | {setting.help} | {default} |")
    return "\n".join(rows) + "\n"
