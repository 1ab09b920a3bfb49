"""Lets a sidecar in: prints a new service token, once, or accepts one that is given."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from authz_changelog.sidecars import service_tokens


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="whose token it is, e.g. students-sidecar")
        parser.add_argument(
            "--token-from-env", metavar="VARIABLE", help="accept the token in this environment variable"
        )

    def handle(self, *, name: str, token_from_env: str | None, **_: Any) -> None:
        if token_from_env is None:
            self.stdout.write(service_tokens.issue(name))
            return
        try:
            created = service_tokens.register(name, os.environ.get(token_from_env, ""))
        except ValueError as error:
            raise CommandError(f"{token_from_env}: {error}") from error
        self.stdout.write(
            f"The token of {name} is accepted." if created else "This token was accepted already."
        )
