"""Groups named by UUIDs, on SQLite: what the log says of one whose gain was postponed, and of one reborn."""

import json

import django
from django.core.management import call_command
from django.db import connection, transaction

MEMBERS = 60


def main() -> list[object]:
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    from django.contrib.auth.models import Permission
    from members.models import Team, Teamed

    from authz_changelog.models import Entity
    from authz_changelog.revisions import pending, sequencer

    def groups() -> dict[str, str]:
        while not sequencer.run():
            pass
        return dict(Entity.objects.filter(kind="group", state__isnull=False).values_list("key", "state"))

    first, second = Permission.objects.order_by("pk")[:2]
    team = Team.objects.create()
    team.permissions.add(first)
    team.members.set([Teamed.objects.create(username=f"u{number}") for number in range(MEMBERS)])
    groups()
    for name, value in (("LIMIT", 20), ("PART", 10), ("PAGE", 10), ("SMALL", 5)):
        setattr(pending, name, value)
    with transaction.atomic():
        Teamed.objects.update(is_superuser=True)
        team.permissions.add(second)
        connection.run_on_commit.clear()
    (state,) = groups().values()
    with transaction.atomic():
        key = team.pk
        team.delete()
        Team.objects.create(pk=key)
        connection.run_on_commit.clear()
    (name,) = groups()
    return [len(json.loads(state)["permissions"]), name == f"{key}#2"]


if __name__ == "__main__":
    print(json.dumps(main()))
