"""`manage.py seed_demo`"""

import os
from typing import Any

from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import User
from accounts.selectors import permissions_by_label

GROUPS = {
    "registrars": ["students.add_student", "students.change_student"],
    "readers": ["students.view_student"],
}
USERS: dict[str, list[str]] = {"alice": [], "bob": ["registrars"], "carol": ["readers"]}


class Command(BaseCommand):
    help = (
        "Makes sure the demo's users and groups exist: admin (administrator), alice (may nothing), "
        "bob (registrar), carol (reader). Their password is read from DEMO_PASSWORD. Safe to repeat."
    )

    @transaction.atomic
    def handle(self, **options: Any) -> None:
        password = os.environ.get("DEMO_PASSWORD")
        if not password:
            raise CommandError("Set DEMO_PASSWORD to the password that the demo's users shall have.")
        for name, labels in GROUPS.items():
            group, _ = Group.objects.get_or_create(name=name)
            permissions, _ = permissions_by_label(labels)
            group.permissions.add(*permissions)
        _user("admin", password, is_staff=True, is_superuser=True)
        for username, groups in USERS.items():
            _user(username, password).groups.add(*Group.objects.filter(name__in=groups))


def _user(username: str, password: str, **rights: bool) -> User:
    user, created = User.objects.update_or_create(username=username, defaults={"is_active": True, **rights})
    if created or not user.check_password(password):  # a new password ends tokens: not on every run
        user.set_password(password)
        user.save(update_fields=["password"])
    return user
