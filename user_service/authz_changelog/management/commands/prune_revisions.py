"""Deletes revisions older than AUTHZ_CHANGELOG_RETENTION_DAYS; the relay does it by itself."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from authz_changelog.revisions.epochs import prune


class Command(BaseCommand):
    help = __doc__

    def handle(self, **_: Any) -> None:
        deleted = prune(timedelta(days=settings.AUTHZ_CHANGELOG_RETENTION_DAYS))
        self.stdout.write(f"{deleted} revisions deleted.")
