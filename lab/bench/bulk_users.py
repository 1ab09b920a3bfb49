"""Imports users into the User service's database, in one transaction: with a group, and without passwords.

A program of its own: it runs inside the User service's Django project, in its environment.

    python bulk_users.py USERS
"""

from __future__ import annotations

import sys

import django

BATCH = 5_000


def main(count: int) -> None:
    django.setup()
    from django.contrib.auth.models import Group
    from django.db import transaction

    from accounts.models import User

    member = User.groups.through
    with transaction.atomic():
        group = Group.objects.create(name="imported")
        users = [User(username=f"imported-{number}", password="!") for number in range(count)]  # noqa: S106 (none)
        made = User.objects.bulk_create(users, batch_size=BATCH)
        member.objects.bulk_create([member(user=user, group=group) for user in made], batch_size=BATCH)


if __name__ == "__main__":
    main(int(sys.argv[1]))
