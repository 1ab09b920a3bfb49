"""Shuts a sidecar out: revokes every token of this name."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from authz_changelog.models import ServiceToken


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *, name: str, **_: Any) -> None:
        revoked = ServiceToken.objects.filter(name=name, revoked_at=None).update(revoked_at=timezone.now())
        if not revoked:
            raise CommandError(f"there is no valid token of {name}")
        self.stdout.write(f"{revoked} revoked.")
