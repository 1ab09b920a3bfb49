from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from authz_changelog.revisions import forgetting


class Command(BaseCommand):
    help = "Keep only a keyed hash of a deleted user's key; what was issued to it stays void all the same."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "key",
            help="the subject that the user had (its primary key, unless AUTHZ_CHANGELOG says otherwise)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            forgetting.forget(options["key"])
        except forgetting.NotForgotten as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Forgotten.")
