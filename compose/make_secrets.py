"""Makes every credential of the Compose system, once: each service gets a volume with only its own.

Runs as the one-shot service `secrets`. Delete the volumes (`down -v`) to have new ones.
"""

import base64
import hashlib
import json
import os
import secrets
import shlex
from pathlib import Path

VOLUMES = Path("/secrets")
BROKER = Path(__file__).with_name("broker.json")
VHOST = "authz"


def main() -> None:
    done = VOLUMES / "sidecar" / "env"
    if done.exists():
        return
    names = (
        "postgres",
        "redis",
        "relay",
        "sidecar",
        "service_token",
        "admin_token",
        "user_key",
        "student_key",
    )
    made = {name: secrets.token_urlsafe(32) for name in names}
    write_env("postgres", POSTGRES_PASSWORD=made["postgres"])
    write_env("redis", REDIS_PASSWORD=made["redis"])
    write(VOLUMES / "rabbitmq" / "definitions.json", json.dumps(broker_definitions(made)))
    database = f"postgres://user_service:{made['postgres']}@postgres/user_service"
    write_env("user-service", DATABASE_URL=database, DJANGO_SECRET_KEY=made["user_key"])
    write_env(
        "user-service-setup",
        AUTHZ_SERVICE_TOKEN=made["service_token"],
        DATABASE_URL=database,
        DEMO_PASSWORD=os.environ.get("DEMO_PASSWORD") or secrets.token_urlsafe(12),
    )
    write_env(
        "relay",
        AUTHZ_AMQP_URL=f"amqp://relay:{made['relay']}@rabbitmq/{VHOST}",
        DATABASE_URL=database,
    )
    write_env("student-service", DJANGO_SECRET_KEY=made["student_key"])
    write_env(
        "sidecar",
        AUTHZ_ADMIN_TOKEN=made["admin_token"],
        AUTHZ_AMQP_URL=f"amqp://sidecar:{made['sidecar']}@rabbitmq/{VHOST}",
        AUTHZ_REDIS_URL=f"redis://:{made['redis']}@redis",
        AUTHZ_SERVICE_TOKEN=made["service_token"],
    )


def broker_definitions(passwords: dict[str, str]) -> dict[str, object]:
    """The relay alone may publish; what a sidecar may make is bounded and ends with it: broker.json."""
    definitions: dict[str, list[dict[str, object]]] = json.loads(BROKER.read_text())
    users = [{**user, **hashed(passwords[str(user["name"])])} for user in definitions["users"]]
    return {**definitions, "users": users}


def hashed(password: str) -> dict[str, str]:
    """The broker is given no password, only its salted hash, made as the algorithm named here does."""
    salt = secrets.token_bytes(4)
    salted = salt + hashlib.sha256(salt + password.encode()).digest()
    return {
        "password_hash": base64.b64encode(salted).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
    }


def write_env(volume: str, **variables: str) -> None:
    """As lines that a shell can read."""
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in variables.items()]
    write(VOLUMES / volume / "env", "".join(lines))


def write(path: Path, text: str) -> None:
    """Readable by every user of the containers that mount the volume: their user ids differ."""
    path.write_text(text)
    path.chmod(0o444)


if __name__ == "__main__":
    main()
