"""While a lot is taken in, what somebody has lost can be known to be in the log long before all else is."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.db.models import F
from django.test import Client

from accounts.models import User
from authz_changelog.marks import installation
from authz_changelog.models import Head, Mark
from authz_changelog.revisions import audit, pending, sequencer
from authz_changelog.revisions.sequencer import sequence
from tests.integration.changelog.test_overtaking import crowd, holds
from tests.integration.changelog.writers import permission, quietly, sql

__all__ = ["crowd"]
CHANGES = "/authz/v1/changes"


@pytest.fixture
def staff(database: str) -> Group:
    """Ann and Ben are in it, and may change students by it; Cid is not."""
    group = Group.objects.create(pk=1, name="staff")
    group.permissions.add(permission("change_student"))
    for pk, name in enumerate(("ann", "ben", "cid"), 1):
        User.objects.create(pk=pk, username=name)
    group.user_set.set([1, 2])
    User.objects.get(pk=1).user_permissions.add(permission("view_student"))
    sequence()
    return group


def ann() -> User:
    return User.objects.get(pk=1)


def again() -> None:
    ann().delete()
    User(pk=1, username="ann").save(force_insert=True)


def joins_and_leaves() -> None:
    ann().groups.remove(1)
    ann().groups.add(1)


GAINS: dict[str, Callable[[], object]] = {
    "a user": lambda: User.objects.create(pk=9, username="dan"),
    "many users": lambda: User.objects.bulk_create(
        User(pk=each, username=f"u{each}") for each in range(100, 130)
    ),
    "a member": lambda: User.objects.get(pk=3).groups.add(1),
    "a permission": lambda: ann().user_permissions.add(permission("delete_student")),
    "a permission of a group": lambda: Group.objects.get().permissions.add(permission("delete_student")),
    "by SQL": lambda: sql("INSERT INTO accounts_user_groups (user_id, group_id) VALUES (3, 1)"),
    "what says nothing here": lambda: User.objects.update(first_name="A"),
}
LOSSES: dict[str, Callable[[], object]] = {
    "a member": lambda: ann().groups.clear(),
    "a permission": lambda: ann().user_permissions.clear(),
    "a permission of a group": lambda: Group.objects.get().permissions.clear(),
    "a group": lambda: Group.objects.get().delete(),
    "a user": lambda: ann().delete(),
    "a user who comes back": again,
    "a member who comes back": joins_and_leaves,
    "what is active": lambda: User.objects.filter(pk=1).update(is_active=False),
    "tokens": lambda: User.objects.update(token_generation=F("token_generation") + 1),
    "a label": lambda: Permission.objects.filter(codename="view_student").update(codename="see"),
    "another's": lambda: sql("UPDATE accounts_user_groups SET user_id = 3 WHERE user_id = 1"),
    "everything": lambda: Mark.objects.create(kind="all", key=""),
}
ONLY_THERE: dict[str, tuple[str, bool]] = {
    "postgresql: INSERT INTO accounts_user_groups (user_id, group_id) VALUES (1, 1) ON CONFLICT DO NOTHING": (
        "postgresql",
        True,
    ),
    "postgresql: INSERT INTO accounts_user_groups (user_id, group_id) SELECT 3, 1": ("postgresql", True),
    "postgresql: TRUNCATE accounts_user_groups": ("postgresql", False),
    "sqlite: INSERT OR REPLACE INTO accounts_user_groups (id, user_id, group_id) VALUES (1, 3, 1)": (
        "sqlite",
        False,
    ),
}


@pytest.mark.parametrize("write", GAINS.values(), ids=GAINS)
def test_what_is_added_takes_nothing(staff: Group, write: Callable[[], object]) -> None:
    quietly(write)
    assert pending.only_gains()


@pytest.mark.parametrize("write", LOSSES.values(), ids=LOSSES)
def test_whatever_else_is_written_may_have_taken_something(staff: Group, write: Callable[[], object]) -> None:
    quietly(lambda: User.objects.create(pk=9, username="dan"))
    quietly(write)
    assert not pending.only_gains()
    sequence()
    assert pending.only_gains()


@pytest.mark.parametrize(
    ("statement", "database", "gain"),
    [(each.partition(": ")[2], *expected) for each, expected in ONLY_THERE.items()],
    indirect=["database"],
)
def test_statements_of_one_database(staff: Group, statement: str, database: str, gain: bool) -> None:
    quietly(lambda: sql(statement))
    assert pending.only_gains() is gain


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_who_lives_by_the_log_and_comes_again_may_have_lost_something(staff: Group) -> None:
    """A table that inherits can hold another row with his key: it decides."""
    sql("CREATE TABLE heir () INHERITS (accounts_user)")
    installation.install()
    sequence()
    fields = [each.column for each in User._meta.concrete_fields if each.column != "is_active"]
    columns = ", ".join(fields)
    row = f"SELECT {columns}, false FROM accounts_user WHERE id = 1"  # noqa: S608 (our own columns)
    quietly(lambda: sql(f"INSERT INTO heir ({columns}, is_active) {row}"))
    assert not pending.only_gains()


def test_what_is_postponed_takes_nothing_more(crowd: Group) -> None:
    """All leave the group, which is a lot; meanwhile it loses one permission and is given another."""
    quietly(lambda: crowd.user_set.clear())
    quietly(lambda: crowd.permissions.set([permission("delete_student")]))
    alone = 0
    while not sequencer.run():
        if pending.only_gains():
            alone += Mark.objects.filter(postponed=True).exists()
            assert not any(holds().values())
    assert alone > 0


@pytest.fixture
def busy(staff: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is pending is being taken in by the relay, which is not done."""
    monkeypatch.setattr(sequencer, "LIMIT", 0)
    monkeypatch.setattr(sequencer, "BUSY", timedelta(hours=1))


def asked(sidecar: Client, **query: str) -> tuple[int, str | None, str | None]:
    audit.seen()  # where no relay is, these answers would compare, and mark what they find
    head = Head.objects.get()
    answer = sidecar.get(CHANGES, {"epoch": head.epoch, "after": head.revision, **query})
    return answer.status_code, answer.headers.get("Authz-Unproved"), answer.headers.get("Authz-Proved")


def test_an_answer_tells_that_only_gains_are_pending(busy: None, sidecar: Client) -> None:
    assert asked(sidecar, proof="optional") == (200, None, None)
    quietly(lambda: User.objects.create(pk=9, username="dan"))
    why = "a lot is pending, and being sequenced by another"
    assert asked(sidecar, proof="optional") == (200, why, "losses")
    assert asked(sidecar)[0] == 503
    quietly(lambda: ann().groups.clear())
    assert asked(sidecar, proof="optional") == (200, why, None)


def test_without_triggers_nothing_is_known_of_losses_either(busy: None, sidecar: Client) -> None:
    quietly(lambda: User.objects.create(pk=9, username="dan"))
    installation.uninstall()
    status, unproved, proved = asked(sidecar, proof="optional")
    assert (status, proved) == (200, None)
    assert unproved is not None


def test_what_touched_triggers_may_have_missed_is_no_gain(busy: None, sidecar: Client) -> None:
    """They are back, and everything is to be compared."""
    quietly(lambda: User.objects.create(pk=9, username="dan"))
    installation.uninstall()
    quietly(lambda: ann().groups.clear())
    installation.install()
    assert asked(sidecar, proof="optional")[2] is None
