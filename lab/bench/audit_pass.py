"""Lets the audit compare so many users once, and prints what that cost as JSON.

A program of its own: it runs inside the User service's Django project, in its environment, on PostgreSQL.

    python audit_pass.py USERS

What the log knows is written as it would be after an import: each user is in one of the groups, one in ten
has a permission of its own. No trigger is there meanwhile.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

GROUPS = 1_000
BATCH = 5_000
TICKS = os.sysconf("SC_CLK_TCK")
FILL = """
DELETE FROM authz_changelog_entity;
INSERT INTO auth_group (id, name)
  SELECT n, 'group ' || n FROM generate_series(1000001, 1000000 + {groups}) AS n;
INSERT INTO auth_group_permissions (group_id, permission_id)
  SELECT auth_group.id, (SELECT min(id) FROM auth_permission) FROM auth_group WHERE id > 1000000;
INSERT INTO accounts_user (id, username, password, is_superuser, first_name, last_name, email, is_staff,
    is_active, date_joined, token_generation)
  SELECT n, 'one' || n, '!', false, '', '', '', false, true, now(), 0
  FROM generate_series(1000001, 1000000 + {users}) AS n;
INSERT INTO accounts_user_groups (user_id, group_id)
  SELECT id, 1000001 + id % {groups} FROM accounts_user WHERE id > 1000000;
INSERT INTO accounts_user_user_permissions (user_id, permission_id)
  SELECT id, (SELECT min(id) FROM auth_permission) FROM accounts_user WHERE id > 1000000 AND id % 10 = 0;
"""
ANALYZE = "VACUUM ANALYZE"
TOUCHED = (
    "DO $$ DECLARE each name; BEGIN FOR each IN SELECT tgname FROM pg_trigger"
    " WHERE tgrelid = 'accounts_user_groups'::regclass AND starts_with(tgname, 'authz_changelog_') LOOP"
    " EXECUTE format('ALTER TABLE accounts_user_groups DISABLE TRIGGER %I', each);"
    " EXECUTE format('ALTER TABLE accounts_user_groups ENABLE ALWAYS TRIGGER %I', each); END LOOP; END $$",
)
"""Whatever happened in between left no mark."""
REWRITTEN = ("VACUUM FULL accounts_user",)
"""It keeps every row."""


def main(users: int) -> None:
    django.setup()
    from django.db import connection

    from authz_changelog.marks import installation
    from authz_changelog.revisions import audit

    installation.uninstall()
    with connection.cursor() as cursor:
        cursor.execute(FILL.format(users=users, groups=GROUPS))
        cursor.execute(ANALYZE)
    _log_all()
    with connection.cursor() as cursor:
        cursor.execute(ANALYZE)
    passes = [_pass(connection.connection) for _ in range(2)]  # the first one makes the slices
    proofs = {"proof_seconds": _until_proved(TOUCHED), "rewritten_seconds": _until_proved(REWRITTEN)}
    print(json.dumps({**passes[-1], **proofs, "found": audit.found()}))


def _log_all() -> None:
    """Every state, as a run of the sequencer would write it."""
    from django.contrib.auth.models import Group

    from accounts.models import User
    from authz_changelog.models import Entity
    from authz_changelog.revisions.differences import COLUMNS, find
    from authz_changelog.revisions.states import Key

    for kind, model in (("group", Group), ("user", User)):
        keys = [Key(kind, str(pk)) for pk in model.objects.order_by("pk").values_list("pk", flat=True)]
        for at in range(0, len(keys), BATCH):
            rows = (change.row() for change in find(keys[at : at + BATCH]))
            Entity.objects.bulk_create(
                Entity(revision=1, **dict(zip(COLUMNS, row, strict=True))) for row in rows
            )


def _pass(session: Connection) -> dict[str, Any]:
    """Everything is compared once, step by step."""
    from authz_changelog import clock
    from authz_changelog.models import Slice, Turn
    from authz_changelog.revisions import audit

    Slice.objects.update(compared_at=audit.NEVER)
    python, database, steps = 0.0, _cpu_of(session.info.backend_pid), []
    while audit.audited_at(clock.now()) is None:
        Turn.objects.update(due_at=audit.NEVER)
        began, used = time.perf_counter(), time.process_time()
        audit.step()
        steps.append(time.perf_counter() - began)
        python += time.process_time() - used
    return {
        "python_seconds": python,
        "database_seconds": _cpu_of(session.info.backend_pid) - database,
        "step_seconds": sorted(steps),
    }


def _until_proved(statements: Sequence[str]) -> float:
    """Seconds after these statements until everything is proved again, by one process alone."""
    from django.db import connection

    from authz_changelog.marks import installation, integrity
    from authz_changelog.revisions import sequencer

    installation.install()
    integrity.keep(integrity.review().fingerprint)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    began = time.perf_counter()
    while not sequencer.run():
        pass
    return time.perf_counter() - began


def _cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    main(int(sys.argv[1]))
