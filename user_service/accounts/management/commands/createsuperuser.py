"""Django's command, which can be repeated with `--if-none`."""

from __future__ import annotations

import os
from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.core.management.base import CommandError, CommandParser

from accounts.models import User


class Command(createsuperuser.Command):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--if-none", action="store_true", help="do nothing if there is an active administrator"
        )

    def handle(self, *arguments: Any, **options: Any) -> None:
        if options["if_none"] and User.objects.filter(is_superuser=True, is_active=True).exists():
            self.stdout.write("There is an administrator.")
            return
        if not options["interactive"] and not os.environ.get("DJANGO_SUPERUSER_PASSWORD"):
            raise CommandError(
                "Set DJANGO_SUPERUSER_PASSWORD (and DJANGO_SUPERUSER_USERNAME, DJANGO_SUPERUSER_EMAIL):"
                " without a password nobody can sign in as the administrator."
            )
        super().handle(*arguments, **options)
