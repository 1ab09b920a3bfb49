"""The Django app of the change log."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class ChangelogConfig(AppConfig):
    name = "changelog"
    verbose_name = "change log"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from changelog import checks, installation, signals  # noqa: F401 (registers the system check)

        signals.connect()
        pre_migrate.connect(installation.before_migrations, sender=self)
        post_migrate.connect(installation.after_migrations, sender=self)
