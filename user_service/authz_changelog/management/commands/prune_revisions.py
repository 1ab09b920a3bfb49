"""Deletes revisions older than RETENTION_DAYS and changes older than HISTORY_DAYS, as the relay does."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from authz_changelog import conf
from authz_changelog.revisions.epochs import prune, prune_history


class Command(BaseCommand):
    help = __doc__

    def handle(self, **_: Any) -> None:
        deleted = prune(timedelta(days=conf.current().retention_days))
        prune_history(timedelta(days=conf.current().history_days))
        self.stdout.write(f"{deleted} revisions deleted.")
