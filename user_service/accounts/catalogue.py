"""The permissions of other services, declared here because this database has no models for them.

They are created after every `migrate` and `flush`. Adding a service means adding its models below.
"""

from typing import Any

from django.apps import apps as installed_apps
from django.apps.registry import Apps
from django.db import DEFAULT_DB_ALIAS

CATALOGUE: dict[tuple[str, str], dict[str, str]] = {
    ("students", "student"): {
        "add_student": "Can add student",
        "change_student": "Can change student",
        "delete_student": "Can delete student",
        "view_student": "Can view student",
    },
}
"""(app label, model) → codename → name for people."""


def create_catalogue(*, using: str = DEFAULT_DB_ALIAS, apps: Apps = installed_apps, **kwargs: Any) -> None:
    """Receiver of `post_migrate`: bring the database up to the catalogue. Idempotent."""
    try:
        content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
        permissions = apps.get_model("auth", "Permission").objects.using(using)
    except LookupError:  # migrated back to before these tables
        return
    for (app_label, model), names in CATALOGUE.items():
        content_type, _ = content_types.get_or_create(app_label=app_label, model=model)
        for codename, name in names.items():
            permissions.update_or_create(
                content_type=content_type, codename=codename, defaults={"name": name}
            )
