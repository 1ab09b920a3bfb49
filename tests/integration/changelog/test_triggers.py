"""Whatever changes permissions, by whatever means, marks the entities it changes: and nothing else does."""

from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, models, transaction

from accounts.models import User
from authz_changelog import bootstrap
from authz_changelog.marks import installation
from authz_changelog.models import Mark
from authz_changelog.revisions.sequencer import sequence


@dataclass
class World:
    """Ann holds `own` herself and, through the staff, `shared`. Bob holds nothing."""

    ann: User
    bob: User
    staff: Group
    own: Permission
    shared: Permission


@pytest.fixture
def world(database: str) -> World:
    model = ContentType.objects.create(app_label="shop", model="item")
    own, shared = (
        Permission.objects.create(content_type=model, codename=name, name=name) for name in ("own", "shared")
    )
    world = World(User(pk=1), User(pk=2), Group(pk=7, name="staff"), own, shared)
    world.ann.username, world.bob.username = "ann", "bob"
    for entity in (world.ann, world.bob, world.staff):
        entity.save(force_insert=True)
    world.staff.permissions.add(shared)
    world.ann.groups.add(world.staff)
    world.ann.user_permissions.add(own)
    sequence()
    return world


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def marked() -> set[str]:
    return {f"{mark.kind} {mark.key}" for mark in Mark.objects.all()}


Act = Callable[[World], object]
CASES: dict[str, tuple[Act, set[str]]] = {
    "user created": (lambda w: User.objects.create(pk=9, username="new"), {"user 9"}),
    "users created in bulk": (
        lambda w: User.objects.bulk_create([User(pk=8, username="a"), User(pk=9, username="b")]),
        {"user 8", "user 9"},
    ),
    "user deleted": (lambda w: w.ann.delete(), {"user 1"}),
    "users deleted by query": (lambda w: User.objects.all().delete(), {"user 1", "user 2"}),
    "deactivated by update()": (lambda w: User.objects.filter(pk=2).update(is_active=False), {"user 2"}),
    "superuser by raw SQL": (
        lambda w: sql("UPDATE accounts_user SET is_superuser = NOT is_superuser WHERE id = 2"),
        {"user 2"},
    ),
    "signed out everywhere": (
        lambda w: User.objects.update(token_generation=models.F("token_generation") + 1),
        {"user 1", "user 2"},
    ),
    "user's key changed": (
        lambda w: sql("UPDATE accounts_user SET id = 3 WHERE id = 2"),
        {"user 2", "user 3"},
    ),
    "user saved without change": (lambda w: w.ann.save(), set()),
    "user renamed": (lambda w: User.objects.filter(pk=1).update(username="x", email="y@z.org"), set()),
    "permission given": (lambda w: w.bob.user_permissions.add(w.own), {"user 2"}),
    "permission given again": (lambda w: w.ann.user_permissions.add(w.own), set()),
    "permission taken": (lambda w: w.ann.user_permissions.clear(), {"user 1"}),
    "link moved to another user": (
        lambda w: sql("UPDATE accounts_user_user_permissions SET user_id = 2"),
        {"user 1", "user 2"},
    ),
    "joined a group": (lambda w: w.staff.user_set.add(w.bob), {"user 2"}),
    "left a group": (lambda w: w.ann.groups.set([]), {"user 1"}),
    "group created": (lambda w: Group.objects.create(pk=9, name="new"), {"group 9"}),
    "group renamed": (lambda w: Group.objects.update(name="others"), set()),
    "group deleted": (lambda w: w.staff.delete(), {"group 7", "user 1"}),
    "group given a permission": (lambda w: w.staff.permissions.add(w.own), {"group 7"}),
    "group's permission taken by raw SQL": (lambda w: sql("DELETE FROM auth_group_permissions"), {"group 7"}),
    "permission deleted": (lambda w: w.shared.delete(), {"group 7"}),
    "permission renamed": (
        lambda w: Permission.objects.filter(pk=w.own.pk).update(codename="other"),
        {"user 1"},
    ),
    "permission's description changed": (lambda w: Permission.objects.update(name="x"), set()),
    "permission of another app": (
        lambda w: Permission.objects.filter(codename="shared").update(
            content_type=ContentType.objects.get_for_model(User)
        ),
        {"group 7"},
    ),
    "app renamed": (
        lambda w: ContentType.objects.filter(app_label="shop").update(app_label="store"),
        {"user 1", "group 7"},
    ),
    "content type deleted": (
        lambda w: ContentType.objects.filter(app_label="shop").delete(),
        {"user 1", "group 7"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_leaves_its_marks_in_its_own_transaction(world: World, case: str) -> None:
    act, expected = CASES[case]
    with transaction.atomic():
        act(world)
        seen = marked()
        transaction.set_rollback(True)
    assert seen == expected
    assert marked() == set()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("table", ["accounts_user", "accounts_user_groups", "auth_permission"])
def test_truncate_marks_everything(world: World, table: str) -> None:
    sql(f"TRUNCATE {table} CASCADE")
    assert {"user 1", "user 2", "group 7"} <= marked()


def test_installing_again_changes_nothing(world: World) -> None:
    assert installation.install() == 0


def test_a_missing_trigger_is_reported_and_mended_with_what_it_missed(world: World) -> None:
    installation.uninstall()
    User.objects.filter(pk=1).update(is_active=False)
    assert marked() == set()
    before = sequence()
    assert "auth_group, auth_group_permissions" in check()

    call_command("migrate", verbosity=0)

    assert check() == ""
    assert sequence().revision == before.revision + 1


def check() -> str:
    output = StringIO()
    call_command("check", databases=["default"], stderr=output)
    return "".join(
        line for line in output.getvalue().splitlines() if "authz_changelog" in line or "tables" in line
    )


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "model", [User, Group, Permission, ContentType, Group.permissions.through, User.groups.through]
)
def test_sqlite_can_rebuild_a_watched_table_while_it_migrates(
    world: World, model: type[models.Model]
) -> None:
    before = sequence().revision
    bootstrap.before_migrations(plan=["a migration that alters a column"])
    with connection.schema_editor() as editor:
        editor._remake_table(model)
    bootstrap.after_migrations(using="default")
    assert installation.missing() == []
    assert sequence().revision == before
