"""Settings are read with every mistake at once and no secret shown."""

from __future__ import annotations

import socket
import ssl
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from authz_sidecar.config import reading
from authz_sidecar.config.addresses import Address, UpstreamAddress
from authz_sidecar.config.limits import ProxyLimits
from authz_sidecar.config.table import Settings
from authz_sidecar.core.errors import ConfigurationError
from lab.wire.certificates import self_signed
from tests.unit.config.required import REQUIRED

SOCKET = UpstreamAddress("localhost", 0, path="/run/service.sock")


def load(**variables: str) -> Settings:
    return reading.load({}, REQUIRED | variables)


def problems(flags: dict[str, str] | None = None, **variables: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        reading.load(flags or {}, REQUIRED | variables)
    return [str(problem) for problem in caught.value.problems]


def test_defaults() -> None:
    loaded = load()
    assert loaded.listen == (Address("127.0.0.1", 8080),)
    assert loaded.jwt.algorithms == {"RS256", "ES256", "EdDSA"}
    assert loaded.token.header == "authorization"
    assert loaded.jwt.jwks_url == "http://127.0.0.1:8000/.well-known/jwks.json"
    assert loaded.replica.redis_url is None
    assert loaded.replica.amqp_url is None
    assert (loaded.validation, loaded.mode) == ("cached", "enforce")


@pytest.mark.parametrize("missing", REQUIRED)
def test_no_start_without(missing: str) -> None:
    for absent in (REQUIRED | {missing: ""}, {k: v for k, v in REQUIRED.items() if k != missing}):
        with pytest.raises(ConfigurationError, match=f"^{missing}: is required"):
            reading.load({}, absent)


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        reading.load({"AUTHZ_LISTEN": "nowhere"}, {"AUTHZ_MODE": "maybe"})
    places = [problem.place for problem in caught.value.problems]
    assert sorted(places) == sorted(["--listen", "AUTHZ_MODE", *REQUIRED])


def test_a_flag_wins_over_the_environment() -> None:
    environment = REQUIRED | {"AUTHZ_LISTEN": "0.0.0.0:1"}
    assert reading.load({"AUTHZ_LISTEN": "[::1]:2"}, environment).listen == (Address("::1", 2),)


@pytest.mark.parametrize(
    ("variable", "value", "attribute", "wanted"),
    [
        ("AUTHZ_LISTEN", "[::]:0", "listen", (Address("::", 0),)),
        ("AUTHZ_LISTEN", "sidecar:80", "listen", (Address("sidecar", 80),)),
        (
            "AUTHZ_LISTEN",
            "10.0.0.1:80, [fd00::1]:80",
            "listen",
            (Address("10.0.0.1", 80), Address("fd00::1", 80)),
        ),
        ("AUTHZ_ADMIN_LISTEN", "127.0.0.1:0,[::1]:0", "admin.on_loopback", True),
        ("AUTHZ_ADMIN_LISTEN", "127.0.0.1:0,[::]:0", "admin.on_loopback", False),
        ("AUTHZ_UPSTREAM", "http://student:8001/", "upstream", UpstreamAddress("student", 8001)),
        ("AUTHZ_USER_SERVICE", "https://user/base/", "user_service.url", "https://user/base"),
        ("AUTHZ_JWKS_URL", "https://idp/keys?v=2", "jwt.jwks_url", "https://idp/keys?v=2"),
        ("AUTHZ_JWT_TYPE", "", "jwt.type", ""),
        ("AUTHZ_JWT_ALGORITHMS", "ES384, PS256", "jwt.algorithms", {"ES384", "PS256"}),
        ("AUTHZ_JWT_REVISION_CLAIMS", "False", "jwt.revision_claims", False),
        ("AUTHZ_TOKEN_HEADER", "X-Token", "token.header", "x-token"),
        ("AUTHZ_TOKEN_SUBPROTOCOL", "true", "token.places.subprotocol", True),
        ("AUTHZ_TOKEN_COOKIE", "__Host-token", "token.places.removes", True),
        ("AUTHZ_TOKEN_COOKIE", "", "token.places.removes", False),
        ("AUTHZ_MAX_STALENESS", "1e1", "replica.max_staleness", 10.0),
        ("AUTHZ_NEAR_CACHE_SIZE", "7000", "replica.near_cache_size", 7000),
        ("AUTHZ_REDIS_URL", "rediss://:pw@h:6380/1", "replica.redis_url", "rediss://:pw@h:6380/1"),
        ("AUTHZ_AMQP_URL", "amqps://u:pw@h/v", "replica.amqp_url", "amqps://u:pw@h/v"),
        ("AUTHZ_AMQP_URL", "", "replica.amqp_url", None),
        (
            "AUTHZ_TRUSTED_PROXIES",
            "10.0.0.0/8,::1",
            "trusted_proxies",
            (ip_network("10.0.0.0/8"), ip_network("::1")),
        ),
        ("AUTHZ_CORS_ORIGINS", "https://a.example, *", "cors_origins", {"https://a.example", "*"}),
        ("AUTHZ_UPSTREAM", "unix:/run/service.sock", "upstream", SOCKET),
        ("AUTHZ_MAX_TARGET_BYTES", "2000", "limits.target_bytes", 2000),
        ("AUTHZ_MAX_HEAD_BYTES", "20000", "limits.head_bytes", 20_000),
        ("AUTHZ_MAX_HEAD_FIELDS", "50", "limits.head_fields", 50),
        ("AUTHZ_MAX_BODY_BYTES", "5000000000", "limits.body_bytes", 5_000_000_000),
        ("AUTHZ_MAX_CONNECTIONS", "7", "limits.connections", 7),
        ("AUTHZ_MAX_UPSTREAM_CONNECTIONS", "8", "limits.upstream_connections", 8),
        ("AUTHZ_HEAD_TIMEOUT", "1", "limits.head_seconds", 1.0),
        ("AUTHZ_BODY_TIMEOUT", "2", "limits.body_seconds", 2.0),
        ("AUTHZ_IDLE_TIMEOUT", "3", "limits.idle_seconds", 3.0),
        ("AUTHZ_CONNECT_TIMEOUT", "4", "limits.connect_seconds", 4.0),
        ("AUTHZ_RESPONSE_TIMEOUT", "0.5", "limits.response_seconds", 0.5),
        ("AUTHZ_UPSTREAM_IDLE_TIMEOUT", "6", "limits.upstream_idle_seconds", 6.0),
        ("AUTHZ_DRAIN_TIMEOUT", "7", "limits.drain_seconds", 7.0),
    ],
)
def test_accepted_values(variable: str, value: str, attribute: str, wanted: object) -> None:
    found: object = load(**{variable: value})
    for name in attribute.split("."):
        found = getattr(found, name)
    assert found == wanted


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AUTHZ_LISTEN", ":8080"),
        ("AUTHZ_LISTEN", "127.0.0.1"),
        ("AUTHZ_LISTEN", "127.0.0.1:65536"),
        ("AUTHZ_LISTEN", "[localhost]:1"),
        ("AUTHZ_LISTEN", "::1:80"),
        ("AUTHZ_LISTEN", "127.0.0.1:80,nowhere"),
        ("AUTHZ_LISTEN", "127.0.0.1:80,127.0.0.1:80"),
        ("AUTHZ_LISTEN", "0.0.0.0:80,[::]:80"),
        ("AUTHZ_LISTEN", ","),
        ("AUTHZ_UPSTREAM", "student:8001"),
        ("AUTHZ_UPSTREAM", "ftp://student"),
        ("AUTHZ_UPSTREAM", "http://"),
        ("AUTHZ_UPSTREAM", "http://h:99999"),
        ("AUTHZ_UPSTREAM", "http://h/path"),
        ("AUTHZ_UPSTREAM", "http://h?query"),
        ("AUTHZ_UPSTREAM", "http://h#"),
        ("AUTHZ_UPSTREAM", "http://h/ x"),
        ("AUTHZ_UPSTREAM", "http://h\\x"),
        ("AUTHZ_UPSTREAM", "http://hé"),
        ("AUTHZ_USER_SERVICE", "http://user:password@h"),
        ("AUTHZ_JWT_ISSUER", "a\nb"),
        ("AUTHZ_JWT_ALGORITHMS", "HS256"),
        ("AUTHZ_JWT_ALGORITHMS", "RS256,none"),
        ("AUTHZ_JWT_ALGORITHMS", ","),
        ("AUTHZ_JWT_LEEWAY", "-1"),
        ("AUTHZ_JWT_LEEWAY", "nan"),
        ("AUTHZ_JWT_REVISION_CLAIMS", "yes"),
        ("AUTHZ_TOKEN_HEADER", "X_Token"),
        ("AUTHZ_TOKEN_HEADER", "Host"),
        ("AUTHZ_TOKEN_HEADER", "a b"),
        ("AUTHZ_TOKEN_HEADER", "Origin"),
        ("AUTHZ_TOKEN_HEADER", "Sec-WebSocket-Protocol"),
        ("AUTHZ_TOKEN_SUBPROTOCOL", "authz"),
        ("AUTHZ_TOKEN_COOKIE", "a=b"),
        ("AUTHZ_TOKEN_COOKIE", "$Version"),
        ("AUTHZ_TOKEN_COOKIE", "tökén"),
        ("AUTHZ_TOKEN_COOKIE_ORIGINS", "*"),
        ("AUTHZ_TOKEN_COOKIE_ORIGINS", "null"),
        ("AUTHZ_TOKEN_COOKIE_ORIGINS", "app.example"),
        ("AUTHZ_TOKEN_COOKIE_ORIGINS", "https://app.example/path"),
        ("AUTHZ_MAX_STALENESS", "inf"),
        ("AUTHZ_MAX_STALENESS", "soon"),
        ("AUTHZ_FEED_INTERVAL", "0"),
        ("AUTHZ_FEED_INTERVAL", "30"),
        ("AUTHZ_NEAR_CACHE_SIZE", "0"),
        ("AUTHZ_NEAR_CACHE_SIZE", "1.5"),
        ("AUTHZ_REDIS_URL", "http://h"),
        ("AUTHZ_REDIS_URL", "redis://"),
        ("AUTHZ_REDIS_PREFIX", "a{b}"),
        ("AUTHZ_AMQP_URL", "redis://h"),
        ("AUTHZ_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("AUTHZ_TRUSTED_PROXIES", "proxy"),
        ("AUTHZ_CORS_ORIGINS", "https://a/path"),
        ("AUTHZ_SERVICE_TOKEN", "with space"),
        ("AUTHZ_ADMIN_TOKEN", "ключ"),
        ("AUTHZ_VALIDATION", "Cached"),
        ("AUTHZ_MODE", "off"),
        ("AUTHZ_DECISION_LOG_SAMPLE", "-0.1"),
        ("AUTHZ_DECISION_LOG_SAMPLE", "1%"),
        ("AUTHZ_DECISION_LOG_SAMPLE", "nan"),
        ("AUTHZ_LOG_LEVEL", "loud"),
        ("AUTHZ_UPSTREAM", "unix:service.sock"),
        ("AUTHZ_UPSTREAM_CA", "/nonexistent"),
        ("AUTHZ_UPSTREAM_CA", __file__),
        ("AUTHZ_UPSTREAM_CA", "/"),
        ("AUTHZ_TLS_CERT", "/nonexistent"),
        ("AUTHZ_TLS_KEY", "/nonexistent"),
        ("AUTHZ_MAX_TARGET_BYTES", "65536"),
        ("AUTHZ_MAX_HEAD_BYTES", "1"),
        ("AUTHZ_MAX_HEAD_FIELDS", "x"),
        ("AUTHZ_MAX_BODY_BYTES", "-1"),
        ("AUTHZ_MAX_CONNECTIONS", "0"),
        ("AUTHZ_MAX_UPSTREAM_CONNECTIONS", "0"),
        ("AUTHZ_HEAD_TIMEOUT", "0"),
        ("AUTHZ_DRAIN_TIMEOUT", "forever"),
        ("AUTHZ_PROXY_PROTOCOL", "on"),
    ],
)
def test_refused_values_name_the_variable(variable: str, value: str) -> None:
    (problem,) = problems(**{variable: value})
    assert problem.startswith(f"{variable}: must ")


def test_default_limits_are_those_of_the_byte_path() -> None:
    assert load().limits == ProxyLimits()


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files: a certificate, its key, another key, an encrypted key."""
    directory = tmp_path_factory.mktemp("pem")
    certificate, key = self_signed()
    private = serialization.load_pem_private_key(key, None)
    encrypted = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    files = {"certificate": certificate, "key": key, "other": self_signed()[1], "encrypted": encrypted}
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return {name: str(directory / name) for name in files}


def test_tls_on_both_sides(pem: dict[str, str]) -> None:
    loaded = load(
        AUTHZ_TLS_CERT=pem["certificate"],
        AUTHZ_TLS_KEY=pem["key"],
        AUTHZ_UPSTREAM="https://localhost",
        AUTHZ_UPSTREAM_CA=pem["certificate"],
    )
    context = loaded.tls.context()
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert loaded.upstream_tls is not None
    assert loaded.upstream_tls.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert loaded.upstream_tls.check_hostname
    assert loaded.upstream_tls.verify_mode is ssl.CERT_REQUIRED
    assert loaded.upstream_tls.cert_store_stats()["x509"] == 1  # and none of the system's
    assert (load().tls.context(), load().upstream_tls) == (None, None)


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"AUTHZ_TLS_CERT": "certificate"}, "AUTHZ_TLS_KEY: is required, too"),
        ({"AUTHZ_TLS_KEY": "key"}, "AUTHZ_TLS_CERT: is required, too"),
        ({"AUTHZ_TLS_CERT": "certificate", "AUTHZ_TLS_KEY": "other"}, "AUTHZ_TLS_KEY: must be the PEM"),
        ({"AUTHZ_TLS_CERT": "certificate", "AUTHZ_TLS_KEY": "encrypted"}, "AUTHZ_TLS_KEY: must not be enc"),
        ({"AUTHZ_TLS_CERT": "key", "AUTHZ_TLS_KEY": "key"}, "AUTHZ_TLS_KEY: must be the PEM"),
        ({"AUTHZ_UPSTREAM_CA": "certificate"}, "AUTHZ_UPSTREAM_CA: must not be set unless"),
    ],
)
def test_tls_files_that_do_not_fit(pem: dict[str, str], variables: dict[str, str], problem: str) -> None:
    (found,) = problems(**{name: pem[file] for name, file in variables.items()})
    assert found.startswith(problem)


def test_a_certificate_that_cannot_be_read_is_one_problem(pem: dict[str, str]) -> None:
    (found,) = problems({"AUTHZ_TLS_CERT": "/nonexistent"}, AUTHZ_TLS_KEY=pem["key"])
    assert found.startswith("--tls-cert: must be a file that can be read")


def test_the_proxy_protocol_needs_trusted_proxies_and_no_tls(pem: dict[str, str]) -> None:
    loaded = load(AUTHZ_PROXY_PROTOCOL="required", AUTHZ_TRUSTED_PROXIES="10.0.0.0/8")
    assert loaded.proxy_protocol
    assert not load().proxy_protocol
    tls = {"AUTHZ_TLS_CERT": pem["certificate"], "AUTHZ_TLS_KEY": pem["key"]}
    untrusted, both = problems(AUTHZ_PROXY_PROTOCOL="required", **tls)
    assert untrusted.startswith("AUTHZ_PROXY_PROTOCOL: needs AUTHZ_TRUSTED_PROXIES")
    assert both.startswith("AUTHZ_PROXY_PROTOCOL: cannot go with AUTHZ_TLS_CERT")


def test_both_ports_must_differ() -> None:
    for admin in ("127.0.0.1:8080", "[::1]:9901,127.0.0.1:8080"):
        (problem,) = problems(AUTHZ_ADMIN_LISTEN=admin)
        assert problem.startswith("AUTHZ_ADMIN_LISTEN: must be another port")
    (problem,) = problems(AUTHZ_DECISIONS_LISTEN="127.0.0.1:9901")
    assert problem.startswith("AUTHZ_DECISIONS_LISTEN: must be another port than AUTHZ_ADMIN_LISTEN")
    assert load(AUTHZ_LISTEN="127.0.0.1:0", AUTHZ_ADMIN_LISTEN="127.0.0.1:0").listen[0].port == 0


def test_what_a_gateway_asks_about_is_told_by_two_headers_or_by_the_path() -> None:
    assert load().decisions.listen == ()
    usual = ("X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host")
    assert load().decisions.source == usual
    assert load(AUTHZ_DECISIONS_SOURCE="path").decisions.source is None
    given = "X-Original-Method, X-Original-Uri"
    other = ("X-Original-Method", "X-Original-Uri", None)
    assert load(AUTHZ_DECISIONS_SOURCE=given).decisions.source == other


@pytest.mark.parametrize(
    "text", ["X-Method", "X-Method,x-method", "X_Method,X-Uri", "A,B,C,D", "Host,X-Uri", ","]
)
def test_what_cannot_tell_it(text: str) -> None:
    (problem,) = problems(AUTHZ_DECISIONS_SOURCE=text)
    assert problem.startswith("AUTHZ_DECISIONS_SOURCE: must be `path` or names of headers")


@pytest.mark.parametrize(
    ("listen", "upstream"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", "http://localhost:8080"),
        ("localhost:8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:8080", "http://127.0.0.2:8080"),
        ("[::]:8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("[::1]:8080", "https://[0:0:0:0:0:0:0:1]:8080"),
        ("127.0.0.1:8080", "http://[::ffff:127.0.0.1]:8080"),
        ("127.0.0.1:8080", "http://0.0.0.0:8080"),
        ("127.0.0.1:80", "http://127.0.0.1"),
        ("127.0.0.1:9, 127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:8080", f"http://{socket.gethostname()}:8080"),
    ],
)
def test_the_upstream_must_not_be_our_own_listener(listen: str, upstream: str) -> None:
    (problem,) = problems(AUTHZ_LISTEN=listen, AUTHZ_UPSTREAM=upstream)
    assert problem == "AUTHZ_UPSTREAM: must be the protected service, not AUTHZ_LISTEN of this very sidecar"


def test_nor_our_own_admin_port() -> None:
    (problem,) = problems(AUTHZ_UPSTREAM="http://localhost:9901")
    assert (
        problem
        == "AUTHZ_UPSTREAM: must be the protected service, not AUTHZ_ADMIN_LISTEN of this very sidecar"
    )


@pytest.mark.parametrize(
    ("listen", "upstream"),
    [
        ("127.0.0.1:8080", "http://127.0.0.2:8080"),
        ("0.0.0.0:8080", "http://192.0.2.1:8080"),
        ("0.0.0.0:8080", "http://nobody.invalid:8080"),
        ("0.0.0.0:8080", "http://127.0.0.1:8081"),
        ("0.0.0.0:0", "http://127.0.0.1:8080"),
        ("[::1]:8080", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", "unix:/run/8080"),
    ],
)
def test_another_address_with_the_same_port_is_fine(listen: str, upstream: str) -> None:
    load(AUTHZ_LISTEN=listen, AUTHZ_UPSTREAM=upstream)


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("from-file\n")
    environment = {k: v for k, v in REQUIRED.items() if k != "AUTHZ_SERVICE_TOKEN"}
    loaded = reading.load({}, environment | {"AUTHZ_SERVICE_TOKEN_FILE": str(path)})
    assert loaded.user_service.token == "from-file"


def test_a_secret_from_two_places_or_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    (problem,) = problems(AUTHZ_SERVICE_TOKEN_FILE=str(tmp_path / "token"))
    assert problem.startswith("AUTHZ_SERVICE_TOKEN: is set together with AUTHZ_SERVICE_TOKEN_FILE")
    (problem,) = problems(AUTHZ_ADMIN_TOKEN_FILE=str(tmp_path / "missing"))
    assert problem.startswith("AUTHZ_ADMIN_TOKEN: cannot be read from the file that AUTHZ_ADMIN_TOKEN_FILE")


SECRET = "do-not-show"


def test_secrets_are_not_in_the_representation() -> None:
    shown = repr(
        load(
            AUTHZ_SERVICE_TOKEN=SECRET,
            AUTHZ_ADMIN_TOKEN=SECRET,
            AUTHZ_REDIS_URL=f"redis://:{SECRET}@h",
            AUTHZ_AMQP_URL=f"amqp://u:{SECRET}@h",
        )
    )
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AUTHZ_SERVICE_TOKEN", f"{SECRET} "),
        ("AUTHZ_REDIS_URL", f"amqp://:{SECRET}@h"),
        ("AUTHZ_UPSTREAM", f"http://u:{SECRET}@h"),
    ],
)
def test_secrets_are_not_in_error_messages(variable: str, value: str) -> None:
    assert SECRET not in "".join(problems(**{variable: value}))


def test_what_the_service_is_told_of_who_asks() -> None:
    assert load().identity.parts == ()
    assert load(AUTHZ_IDENTITY="name,subject").identity.parts == ("subject", "name")
    signed = load(AUTHZ_IDENTITY="token", AUTHZ_IDENTITY_KEY="k" * 32)
    assert "k" * 32 not in repr(signed)


IDENTITY_MISTAKES = {
    "an unknown part": ({"AUTHZ_IDENTITY": "email"}, "AUTHZ_IDENTITY: must be some of subject,name,"),
    "a token without a key": ({"AUTHZ_IDENTITY": "token"}, "AUTHZ_IDENTITY_KEY: is required for `token`"),
    "a key for nothing": ({"AUTHZ_IDENTITY_KEY": "k" * 32}, "AUTHZ_IDENTITY: must have `token`"),
    "a short key": (
        {"AUTHZ_IDENTITY": "token", "AUTHZ_IDENTITY_KEY": "k" * 31},
        "AUTHZ_IDENTITY_KEY: must be 32 visible ASCII characters or more",
    ),
    "the access token's header": (
        {"AUTHZ_IDENTITY": "subject", "AUTHZ_TOKEN_HEADER": "X-Authz-Subject"},
        "AUTHZ_TOKEN_HEADER: must be another header than those of AUTHZ_IDENTITY",
    ),
}


@pytest.mark.parametrize(("given", "text"), IDENTITY_MISTAKES.values(), ids=IDENTITY_MISTAKES.keys())
def test_identity_mistakes(given: dict[str, str], text: str) -> None:
    found = problems(**given)
    assert any(problem.startswith(text) for problem in found), found
    assert not any("k" * 31 in problem for problem in found)


def test_origins_of_cookies_are_as_browsers_write_them() -> None:
    given = {"AUTHZ_TOKEN_COOKIE_ORIGINS": "https://App.example:443, http://[::1]:8080/, http://b:80"}
    found = load(AUTHZ_TOKEN_COOKIE="token", **given).token.cookie_origins
    assert found == {b"https://app.example", b"http://[::1]:8080", b"http://b"}
    (problem,) = problems(**given)
    assert problem == "AUTHZ_TOKEN_COOKIE_ORIGINS: needs AUTHZ_TOKEN_COOKIE"


def test_the_credential_for_authzen_needs_its_port() -> None:
    (problem,) = problems(AUTHZ_DECISIONS_TOKEN="secret")
    assert problem.startswith("AUTHZ_DECISIONS_TOKEN: needs AUTHZ_DECISIONS_LISTEN")
    loaded = load(AUTHZ_DECISIONS_TOKEN="secret", AUTHZ_DECISIONS_LISTEN="127.0.0.1:9902")
    assert loaded.decisions.token == "secret"
    assert "secret" not in repr(loaded.decisions)
