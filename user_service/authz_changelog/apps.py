"""The Django app of the change log."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate


class AuthzChangelogConfig(AppConfig):
    name = "authz_changelog"
    verbose_name = "change log"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from authz_changelog import bootstrap, checks, signals  # noqa: F401 (registers the system check)
        from authz_changelog.marks import actors

        signals.connect()
        connection_created.connect(actors.attach)
        post_migrate.connect(bootstrap.after_migrations, sender=self)
