"""Begins a new history of revisions. Run it after restoring the database from a backup."""

from typing import Any

from django.core.management.base import BaseCommand

from authz_changelog.revisions.epochs import new_epoch


class Command(BaseCommand):
    help = __doc__

    def handle(self, **_: Any) -> None:
        head = new_epoch()
        self.stdout.write(f"Epoch {head.epoch} begins at revision {head.revision}.")
