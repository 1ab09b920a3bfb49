"""Django's command, kept away from the permissions of other services."""

from typing import Any

from django.contrib.contenttypes.management.commands import remove_stale_contenttypes


class Command(remove_stale_contenttypes.Command):
    def handle(self, **options: Any) -> None:
        """Stale apps are left alone: to this database other services look exactly like one."""
        if options["include_stale_apps"]:
            self.stderr.write(
                "--include-stale-apps is ignored: it would delete the permissions of other services "
                "and with them every grant."
            )
        super().handle(**{**options, "include_stale_apps": False})
