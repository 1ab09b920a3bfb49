"""What a configuration can be doubted for although it can be started with."""

from __future__ import annotations

import pytest

from authz_sidecar.config import reading
from authz_sidecar.config.findings import Kind, of_environment, of_settings
from tests.unit.config.required import REQUIRED


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("AUTHZ_MAX_STALENES", "AUTHZ_MAX_STALENESS"),
        ("AUTHZ_MAXSTALENESS", "AUTHZ_MAX_STALENESS"),
        ("authz_mode", "AUTHZ_MODE"),
        ("AUTHZ_SERVICE_TOKEN_FIL", "AUTHZ_SERVICE_TOKEN_FILE"),
        ("AUTHZ_POLICY_FILE", "AUTHZ_POLICY"),
        ("AUHTZ_MODE", "AUTHZ_MODE"),
        ("AUTHZ_SHADOW", None),
    ],
)
def test_a_variable_that_nobody_reads_is_found(variable: str, meant: str | None) -> None:
    (found,) = of_environment({variable: "secret-value", "PATH": "/bin", "AUTHORITY": "x"})
    assert (found.kind, found.place) == (Kind.UNKNOWN_VARIABLE, variable)
    assert (f"did you mean {meant}?" in found.message) is (meant is not None)
    assert "secret-value" not in str(found)


def test_what_is_read_is_not_found() -> None:
    assert of_environment(REQUIRED | {"AUTHZ_SERVICE_TOKEN_FILE": "x", "AUTHZ_ADMIN_TOKEN_FILE": "x"}) == []


@pytest.mark.parametrize(
    "name",
    ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR"],
)
@pytest.mark.parametrize("service", ["AUTHZ", "AUTHZ_SIDECAR"])
def test_what_kubernetes_sets_for_a_service_of_that_name_is_none_of_ours(service: str, name: str) -> None:
    assert of_environment({f"{service}_{name}": "tcp://10.0.0.1:80"}) == []


@pytest.mark.parametrize(
    ("variable", "url", "found"),
    [
        ("AUTHZ_USER_SERVICE", "http://users.example.org", True),
        ("AUTHZ_USER_SERVICE", "http://10.0.0.7:8000", True),
        ("AUTHZ_USER_SERVICE", "http://user-service:8000", True),
        ("AUTHZ_USER_SERVICE", "https://users.example.org", False),
        ("AUTHZ_USER_SERVICE", "http://localhost:8000", False),
        ("AUTHZ_USER_SERVICE", "http://127.0.0.2:8000", False),
        ("AUTHZ_USER_SERVICE", "http://[::1]:8000", False),
        ("AUTHZ_JWKS_URL", "http://keys.example.org/jwks", True),
        ("AUTHZ_JWKS_URL", "https://keys.example.org/jwks", False),
    ],
)
def test_what_travels_in_clear_to_another_machine_is_found(variable: str, url: str, found: bool) -> None:
    loaded = reading.load({}, REQUIRED | {variable: url})
    doubts = of_settings(loaded, [loaded.jwt.alone])
    assert [(each.kind, each.place) for each in doubts] == ([(Kind.CLEAR_TEXT, variable)] if found else [])
