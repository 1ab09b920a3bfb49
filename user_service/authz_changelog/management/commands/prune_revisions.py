"""Deletes revisions older than the setting RETENTION_DAYS; the relay does it by itself."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from authz_changelog import conf
from authz_changelog.revisions.epochs import prune


class Command(BaseCommand):
    help = __doc__

    def handle(self, **_: Any) -> None:
        deleted = prune(timedelta(days=conf.current().retention_days))
        self.stdout.write(f"{deleted} revisions deleted.")
