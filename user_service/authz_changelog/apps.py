"""The Django app of the change log."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AuthzChangelogConfig(AppConfig):
    name = "authz_changelog"
    verbose_name = "change log"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from authz_changelog import bootstrap, checks, signals  # noqa: F401 (registers the system check)

        signals.connect()
        post_migrate.connect(bootstrap.after_migrations, sender=self)
