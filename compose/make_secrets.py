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
    definitions = json.dumps(broker_definitions(made["relay"], made["sidecar"]))
    write(VOLUMES / "rabbitmq" / "definitions.json", definitions)
    write_env(
        "user-service",
        AUTHZ_AMQP_URL=f"amqp://relay:{made['relay']}@rabbitmq/{VHOST}",
        AUTHZ_SERVICE_TOKEN=made["service_token"],
        DATABASE_URL=f"postgres://user_service:{made['postgres']}@postgres/user_service",
        DEMO_PASSWORD=os.environ.get("DEMO_PASSWORD") or secrets.token_urlsafe(12),
        DJANGO_SECRET_KEY=made["user_key"],
    )
    write_env("student-service", DJANGO_SECRET_KEY=made["student_key"])
    write_env(
        "sidecar",
        AUTHZ_ADMIN_TOKEN=made["admin_token"],
        AUTHZ_AMQP_URL=f"amqp://sidecar:{made['sidecar']}@rabbitmq/{VHOST}",
        AUTHZ_REDIS_URL=f"redis://:{made['redis']}@redis",
        AUTHZ_SERVICE_TOKEN=made["service_token"],
    )


def broker_definitions(relay_password: str, sidecar_password: str) -> dict[str, object]:
    """The relay alone may publish; a sidecar may make its own queue and read the changes."""
    return {
        "vhosts": [{"name": VHOST}],
        "users": [broker_user("relay", relay_password), broker_user("sidecar", sidecar_password)],
        "permissions": [
            {
                "user": "relay",
                "vhost": VHOST,
                "configure": r"^authz\.changes$",
                "write": r"^authz\.changes$",
                "read": "^$",
            },
            {
                "user": "sidecar",
                "vhost": VHOST,
                "configure": r"^authz\.sidecar\.",
                "write": r"^authz\.sidecar\.",
                "read": r"^authz\.(changes$|sidecar\.)",
            },
        ],
        "exchanges": [
            {
                "name": "authz.changes",
                "vhost": VHOST,
                "type": "fanout",
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
        ],
    }


def broker_user(name: str, password: str) -> dict[str, object]:
    """The broker is given no password, only its salted hash as rabbit_password_hashing_sha256 makes it."""
    salt = secrets.token_bytes(4)
    salted = salt + hashlib.sha256(salt + password.encode()).digest()
    return {
        "name": name,
        "password_hash": base64.b64encode(salted).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": [],
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
