"""`manage.py sign_out`"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from authz_changelog.revisions import generations, subjects
from authz_tokens.models import SignIn


class Command(BaseCommand):
    help = "Ends every token and sign-in of a user, here and at every sidecar."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("subject", help="what tokens name the user by")

    def handle(self, *, subject: str, **options: Any) -> None:
        user = subjects.user(subject)
        if user is None:
            raise CommandError(f"There is no user {subject!r}.")
        generations.end(user)
        SignIn.objects.filter(user_id=user.pk).delete()
        self.stdout.write("Signed out everywhere.")
