"""Fills the User service's database with the bench's users and writes their tokens as JSON.

A program of its own: it runs inside the User service's Django project, in its environment.

    python seed.py USERS
"""

from __future__ import annotations

import json
import sys
from typing import Any

import django

PERMISSION = "students.add_student"
PREFIX = "bench-"


def main(users: int) -> None:
    django.setup()
    from django.conf import settings

    from accounts.models import User
    from authz_changelog.revisions.sequencer import sequence
    from authz_tokens import access

    allowed = _users([f"{PREFIX}{number}" for number in range(users)], permitted=True)
    (forbidden,) = _users([f"{PREFIX}forbidden"], permitted=False)
    sequence()

    def token(user: User, audience: str = settings.AUTH_AUDIENCES[0]) -> str:
        minted: str = access.mint(user=user, audience=audience)
        return minted

    made = {
        "subjects": [str(user.pk) for user in allowed],
        "allowed": [token(user) for user in allowed],
        "forbidden": token(forbidden),
        "foreign": token(allowed[0], settings.AUTH_OWN_AUDIENCE),
    }
    settings.AUTH_ACCESS_TOKEN_SECONDS = -600
    made["expired"] = token(allowed[0])
    json.dump(made, sys.stdout)


def _users(names: list[str], *, permitted: bool) -> list[Any]:
    """They cannot sign in: nobody waits for a thousand password hashes."""
    from accounts.models import User
    from accounts.selectors import permissions_by_label

    User.objects.bulk_create(User(username=name, password="!") for name in names)  # noqa: S106 (none at all)
    users = list(User.objects.filter(username__in=names).order_by("pk"))
    if permitted:
        (permission,), _ = permissions_by_label([PERMISSION])
        holds = User.user_permissions.through
        holds.objects.bulk_create(holds(user=user, permission=permission) for user in users)
    return users


if __name__ == "__main__":
    main(int(sys.argv[1]))
