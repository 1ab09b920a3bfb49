"""Compares the change log with Django's own tables and logs what differs; it should find nothing."""

from typing import Any

from django.core.management.base import BaseCommand

from authz_changelog.revisions.reconcile import reconcile


class Command(BaseCommand):
    help = __doc__

    def handle(self, **_: Any) -> None:
        found = reconcile()
        for key in found:
            self.stdout.write(f"{key.kind} {key.key} differed")
        self.stdout.write(f"{len(found)} differences.")
