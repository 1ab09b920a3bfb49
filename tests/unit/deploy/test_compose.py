"""The Compose example: who gets which credentials, what may be written to, and what the broker allows."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE = Path(__file__).parents[3] / "compose"
USES = {
    "postgres": {"POSTGRES_PASSWORD"},
    "redis": {"REDIS_PASSWORD"},
    "user-service": {"DATABASE_URL", "DJANGO_SECRET_KEY"},
    "user-service-setup": {"AUTHZ_SERVICE_TOKEN", "DATABASE_URL", "DEMO_PASSWORD"},
    "relay": {"AUTHZ_AMQP_URL", "DATABASE_URL"},
    "student-service": {"DJANGO_SECRET_KEY"},
    "authz-sidecar": {"AUTHZ_ADMIN_TOKEN", "AUTHZ_AMQP_URL", "AUTHZ_REDIS_URL", "AUTHZ_SERVICE_TOKEN"},
}

WITHOUT_SECRETS = {"prometheus", "grafana"}

Object = dict[str, Any]


@pytest.fixture(scope="module")
def services() -> dict[str, Object]:
    services: dict[str, Object] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    return services


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, services: dict[str, Object]) -> Path:
    """The volumes with all credentials, as the service `secrets` fills them."""
    volumes = tmp_path_factory.mktemp("secrets")
    for mount in services["secrets"]["volumes"]:
        (volumes / Path(mount.split(":")[1]).name).mkdir()
    program = runpy.run_path(str(COMPOSE / "make_secrets.py"))
    program["main"].__globals__["VOLUMES"] = volumes
    program["main"]()
    return volumes


def volume_of(service: Object) -> str | None:
    """Of its secrets."""
    mounts = [mount.split(":") for mount in service.get("volumes", [])]
    return next((volume for volume, path, *_ in mounts if path == "/run/secrets"), None)


def variables(made: Path, services: dict[str, Object], name: str) -> dict[str, str]:
    volume = volume_of(services[name])
    (path,) = (
        mount.split(":")[1] for mount in services["secrets"]["volumes"] if mount.startswith(f"{volume}:")
    )
    lines = (made / Path(path).name / "env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("name", USES)
def test_a_secret_is_only_where_it_is_used(services: dict[str, Object], made: Path, name: str) -> None:
    assert variables(made, services, name).keys() == USES[name]


def test_no_two_services_share_a_volume_of_secrets(services: dict[str, Object]) -> None:
    own = [service for name, service in services.items() if name not in {"secrets", *WITHOUT_SECRETS}]
    volumes = [volume_of(service) for service in own]
    assert None not in volumes
    assert len(set(volumes)) == len(volumes)


def test_only_the_setup_may_add_signing_keys(services: dict[str, Object]) -> None:
    writing = {
        name for name, service in services.items() if "signing-keys:/keys" in service.get("volumes", [])
    }
    assert writing == {"user-service-setup"}


def test_what_is_kept_in_memory_has_a_size(services: dict[str, Object]) -> None:
    for name, service in services.items():
        if service.get("read_only"):
            assert service["tmpfs"], name
        for mount in service.get("tmpfs", []):
            assert re.search(r":.*\bsize=\d+m\b", mount), name


def test_the_broker_is_given_hashes_only(made: Path) -> None:
    definitions = json.loads((made / "rabbitmq" / "definitions.json").read_text())
    shipped = json.loads((COMPOSE / "broker.json").read_text())
    assert {**definitions, "users": None} == {**shipped, "users": None}
    for user in definitions["users"]:
        url = next(line for line in (made / user["name"] / "env").read_text().split() if "AMQP" in line)
        password = re.search(r":([^:@]+)@", url)
        assert password is not None
        salted = base64.b64decode(user["password_hash"])
        assert salted[4:] == hashlib.sha256(salted[:4] + password[1].encode()).digest()
        assert "limits" in user or user["name"] == "relay"
