"""Whatever changes permissions, by whatever means, marks the entities it changes: and nothing else does."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction

from accounts.models import User
from authz_changelog import bootstrap
from authz_changelog.marks import installation
from authz_changelog.models import Mark
from authz_changelog.revisions import reconcile
from authz_changelog.revisions.sequencer import sequence
from tests.integration.changelog.writers import sql


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


def marked() -> set[str]:
    return {f"{mark.kind} {mark.key}" for mark in Mark.objects.all()}


def names(world: World) -> dict[str, str]:
    """Ann's and the staff's permissions, and their content type."""
    return {
        f"permission {world.own.pk}": "own",
        f"permission {world.shared.pk}": "shared",
        f"content_type {world.own.content_type_id}": "shop",
    }


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
    "group created": (lambda w: Group.objects.create(pk=9, name="new"), {"group 9", "born 9"}),
    "group renamed": (lambda w: Group.objects.update(name="others"), set()),
    "group deleted": (lambda w: w.staff.delete(), {"group 7", "ended 7", "user 1"}),
    "group given a permission": (lambda w: w.staff.permissions.add(w.own), {"group 7"}),
    "group's permission taken by raw SQL": (lambda w: sql("DELETE FROM auth_group_permissions"), {"group 7"}),
    "permission deleted": (lambda w: w.shared.delete(), {"group 7", "shared"}),
    "permission renamed": (
        lambda w: Permission.objects.filter(pk=w.own.pk).update(codename="other"),
        {"own"},
    ),
    "permission's description changed": (lambda w: Permission.objects.update(name="x"), set()),
    "permission of another app": (
        lambda w: Permission.objects.filter(codename="shared").update(
            content_type=ContentType.objects.get_for_model(User)
        ),
        {"shared"},
    ),
    "app renamed": (
        lambda w: ContentType.objects.filter(app_label="shop").update(app_label="store"),
        {"shop"},
    ),
    "content type deleted": (
        lambda w: ContentType.objects.filter(app_label="shop").delete(),
        {"user 1", "group 7", "own", "shared", "shop"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_leaves_its_marks_in_its_own_transaction(world: World, case: str) -> None:
    act, expected = CASES[case]
    known = names(world)
    with transaction.atomic():
        act(world)
        seen = {known.get(mark, mark) for mark in marked()}
        transaction.set_rollback(True)
    assert seen == expected
    assert marked() == set()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("table", "kind"),
    [("accounts_user", "user"), ("accounts_user_groups", "user"), ("auth_permission", "")],
)
def test_truncate_marks_everything(world: World, table: str, kind: str) -> None:
    sql(f"TRUNCATE {table} CASCADE")
    assert f"all {kind}" in marked()
    assert reconcile.reconcile() == []


def test_installing_again_changes_nothing(world: World) -> None:
    assert installation.install() == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "model", [User, Group, Permission, ContentType, Group.permissions.through, User.groups.through]
)
def test_sqlite_can_rebuild_a_watched_table_while_it_migrates(
    world: World, model: type[models.Model]
) -> None:
    before = sequence().revision
    with connection.schema_editor() as editor:
        editor._remake_table(model)
    assert {trigger.table for trigger in installation.missing()} == {model._meta.db_table}
    bootstrap.after_migrations(using="default")
    assert installation.missing() == []
    assert sequence().revision == before


CASCADING = (
    "PRAGMA writable_schema = ON",
    "UPDATE sqlite_master SET sql = replace(sql, 'DEFERRABLE INITIALLY DEFERRED', 'ON DELETE CASCADE')",
    "PRAGMA schema_version = 1000",
    "PRAGMA writable_schema = OFF",
)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "replacing",
    [
        "REPLACE INTO auth_group (id, name) VALUES (8, 'staff')",
        "UPDATE OR REPLACE auth_group SET id = 7 WHERE id = 8",
        "REPLACE INTO accounts_user SELECT * FROM accounts_user WHERE id = 1",
        "REPLACE INTO auth_permission SELECT * FROM auth_permission WHERE codename = 'shared'",
        "REPLACE INTO django_content_type SELECT * FROM django_content_type WHERE app_label = 'shop'",
    ],
)
def test_what_goes_with_a_replaced_row_is_marked(world: World, replacing: str) -> None:
    Group.objects.create(pk=8, name="others")
    sql(*CASCADING)
    bootstrap.after_migrations(using="default")
    sequence()
    links = [link.objects.count() for link in (User.groups.through, Group.permissions.through)]
    sql(replacing)
    assert links != [link.objects.count() for link in (User.groups.through, Group.permissions.through)]
    sequence()
    assert reconcile.reconcile() == []
