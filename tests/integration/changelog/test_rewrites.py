"""Statements that no snapshot protects from: tables that are rewritten or truncated beside our work."""

import pytest
from django.contrib.auth.models import Group
from django.db import transaction

from accounts.models import User
from authz_changelog.models import Entity
from authz_changelog.revisions import reconcile, sequencer
from authz_changelog.revisions.sequencer import sequence
from lab import DEADLINE
from tests.integration.changelog.writers import elsewhere, permission, quietly, sql

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

ADDS_A_COLUMN = "ALTER TABLE accounts_user ADD COLUMN note uuid DEFAULT gen_random_uuid()"
REWRITES = [
    ADDS_A_COLUMN,
    "ALTER TABLE accounts_user ALTER last_name TYPE varchar(151) USING last_name || ''",
    "LOCK TABLE accounts_user IN ACCESS EXCLUSIVE MODE",
]


@pytest.fixture
def ann(database: str) -> User:
    user = User.objects.create(username="ann")
    user.user_permissions.add(permission("change_student"))
    sequence()
    return user


def entity(user: User) -> Entity:
    return Entity.objects.get(kind="user", key=str(user.pk))


@pytest.mark.parametrize("rewrite", REWRITES)
def test_nobody_is_lost_while_a_table_is_rewritten(ann: User, rewrite: str) -> None:
    """A run that begins meanwhile gives way; another one sees all that was committed."""
    with elsewhere() as migration, elsewhere() as relay:
        quietly(lambda: ann.user_permissions.add(permission("add_student")))
        writing = transaction.Atomic("default", True, False)
        migration(writing.__enter__)
        migration(sql, rewrite)
        run = relay.begins(sequencer.run)
        assert run.result(timeout=DEADLINE) is False
        migration(writing.__exit__, None, None, None)
    assert entity(ann).parsed_state["permissions"] == ["students.change_student"]
    sequence(within=DEADLINE)
    labels = ["students.add_student", "students.change_student"]
    assert entity(ann).parsed_state["permissions"] == labels
    assert reconcile.reconcile() == []


def test_without_marks_a_run_needs_no_watched_table(ann: User) -> None:
    with elsewhere() as migration:
        writing = transaction.Atomic("default", True, False)
        migration(writing.__enter__)
        migration(sql, ADDS_A_COLUMN)
        assert sequencer.run() is True
        migration(writing.__exit__, None, None, None)


def test_whoever_rewrites_a_child_and_then_its_parent_is_not_in_a_deadlock_with_us(ann: User) -> None:
    Group.objects.create(name="staff")
    with elsewhere() as migration, elsewhere() as relay:
        quietly(lambda: ann.user_permissions.add(permission("add_student")))
        writing = transaction.Atomic("default", True, False)
        migration(writing.__enter__)
        migration(sql, "ALTER TABLE accounts_user_groups ALTER id TYPE bigint USING id + 0")
        run = relay.begins(sequencer.run)
        migration(sql, "ALTER TABLE accounts_user ALTER last_name TYPE varchar(151)", ADDS_A_COLUMN)
        assert run.result(timeout=DEADLINE) is False
        migration(writing.__exit__, None, None, None)
    sequence(within=DEADLINE)
    assert len(entity(ann).parsed_state["permissions"]) == 2


def test_the_comparison_gives_way_too(ann: User) -> None:
    with elsewhere() as migration, elsewhere() as relay:
        writing = transaction.Atomic("default", True, False)
        migration(writing.__enter__)
        migration(sql, ADDS_A_COLUMN)
        steps = reconcile.steps()
        assert relay(next, steps) == []
        migration(writing.__exit__, None, None, None)
        assert relay(lambda: [key for keys in steps for key in keys]) == []
    sequence(within=DEADLINE)
    assert entity(ann).state is not None
