from django.apps import AppConfig
from django.db.models.signals import post_migrate

from accounts.catalogue import create_catalogue


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        post_migrate.connect(create_catalogue, sender=self)
