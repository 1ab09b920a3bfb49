"""Which tokens are valid, on SQLite, each time a user who is named by a UUID has ended unseen."""

import json

import django
from django.core.management import call_command
from django.db import connection

TABLE = "members_keyed"


def main() -> list[int]:
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    from members.models import Keyed

    from authz_changelog.models import End, Entity
    from authz_changelog.revisions.sequencer import sequence

    def valid() -> int:
        sequence()
        return json.loads(Entity.objects.get(kind="user").state)["token_generation"]

    Keyed.objects.create(username="u")
    generations = [valid()]
    Keyed.objects.update(is_active=False)
    End.objects.all().delete()
    Keyed.objects.update(is_active=True)
    generations.append(valid())
    with connection.cursor() as cursor:
        cursor.execute(f"REPLACE INTO {TABLE} SELECT * FROM {TABLE}")  # noqa: S608 (a name of ours)
    generations.append(valid())
    return generations


if __name__ == "__main__":
    print(json.dumps(main()))
