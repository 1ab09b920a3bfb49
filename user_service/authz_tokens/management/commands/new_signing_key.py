"""`manage.py new_signing_key`"""

import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.management.base import BaseCommand, CommandError, CommandParser

from authz_tokens import keys
from authz_tokens.conf import settings


class Command(BaseCommand):
    help = "Makes a signing key. It is published at once and signs after AUTH_KEY_PUBLISH_SECONDS."
    requires_system_checks = ()  # they complain about what this command mends

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--algorithm", default=settings.AUTH_SIGNING_ALGORITHM)
        parser.add_argument("--if-none", action="store_true", help="Do nothing when there is a key already.")

    def handle(self, *, algorithm: str, if_none: bool, **options: Any) -> None:
        if algorithm not in keys.GENERATE:
            raise CommandError(f"Unknown algorithm {algorithm!r}; use one of: {', '.join(keys.GENERATE)}.")
        if if_none and keys.published():
            return
        pem = keys.GENERATE[algorithm]().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        name = f"{keys.parse(pem, 0).kid}.pem"
        try:
            _write(settings.AUTH_KEYS_DIR / name, pem)
        except OSError as problem:
            raise CommandError(f"AUTH_KEYS_DIR={settings.AUTH_KEYS_DIR}: {problem.strerror}.") from problem
        self.stdout.write(name)


def _write(path: Path, pem: bytes) -> None:
    """Readers see the whole file or none, and nobody but the owner sees it at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(descriptor)
    unfinished.rename(path)
