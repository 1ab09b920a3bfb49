"""Installs the change log's triggers and looks for what was missed while they were not there."""

from typing import Any

from django.core.management.base import BaseCommand

from authz_changelog import bootstrap


class Command(BaseCommand):
    help = __doc__

    def handle(self, **_: Any) -> None:
        created = bootstrap.install()
        self.stdout.write(f"{created} triggers installed." if created else "All triggers are installed.")
