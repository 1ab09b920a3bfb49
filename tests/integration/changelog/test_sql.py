"""What a change costs the database, and ways of connecting to it."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from authz_changelog.marks import integrity
from authz_changelog.models import Change, Head, Mark
from authz_changelog.revisions import sequencer
from authz_changelog.revisions.reconcile import reconcile
from tests.integration.changelog.writers import permission, quietly

MOST = {"postgresql": 8, "sqlite": 17}
"""Statements of a run that has one user to look at; on PostgreSQL some are several in one go."""


@pytest.fixture
def bound_by_the_server(database: str) -> Iterator[None]:
    connection.close()
    connection.settings_dict["OPTIONS"]["server_side_binding"] = True
    yield
    connection.settings_dict["OPTIONS"].pop("server_side_binding")


def test_a_small_change_takes_few_statements(database: str) -> None:
    ann = User.objects.create(username="ann")
    quietly(lambda: ann.user_permissions.add(permission("change_student")))
    with CaptureQueriesContext(connection) as statements:
        assert sequencer.run()
    assert len(statements) <= MOST[connection.vendor]
    assert not Mark.objects.exists()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.usefixtures("bound_by_the_server")
def test_parameters_may_be_bound_by_the_server() -> None:
    ann, staff = User.objects.create(username="ann"), Group.objects.create(name="staff")
    ann.groups.add(staff)
    staff.permissions.add(permission("change_student"))
    staff.delete()
    quietly(lambda: User.objects.update(is_active=False))
    before = sequencer.last_mark()
    quietly(ann.delete)
    assert sequencer.sequence_since(before, within=5) == Head.objects.get()
    assert reconcile() == []
    assert not Change.objects.filter(pending=True).exists()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_pooler_may_forget_what_was_prepared(database: str) -> None:
    """It gives every transaction another session."""
    for forgets in ("", "DEALLOCATE ALL", "DISCARD ALL"):
        if forgets:
            connection.cursor().execute(forgets)
        for _ in range(2):
            assert integrity.glance().unchanged
