"""What Django's ORM does, in its own words."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.db.models import F

from accounts.models import User
from lab.schedules.catalogue.writers import CROWD, PLAIN, REBIRTH, RENAME, code


@code(PLAIN)
def orm_set(_: object) -> None:
    User.objects.get(pk=1).user_permissions.set([1, 3])


@code(PLAIN)
def orm_groups(_: object) -> None:
    User.objects.get(pk=3).groups.set([1, 3])


@code(PLAIN)
def orm_clear(_: object) -> None:
    Group.objects.get(pk=1).permissions.clear()
    Group.objects.get(pk=1).permissions.add(2)


@code(PLAIN)
def orm_update(_: object) -> None:
    User.objects.filter(pk__in=[1, 2]).update(is_active=False, token_generation=F("token_generation") + 1)


@code(PLAIN)
def orm_save(_: object) -> None:
    user = User.objects.get(pk=4)
    user.is_active = True
    user.save()
    user.user_permissions.add(2)


@code(PLAIN)
def orm_sign_out(_: object) -> None:
    User.objects.get(pk=1).raise_token_generation()


@code(PLAIN)
def orm_bulk_create(_: object) -> None:
    User.objects.bulk_create([User(pk=30, username="gus"), User(pk=31, username="hal")])
    link = User.groups.through
    link.objects.bulk_create([link(user_id=30, group_id=1), link(user_id=31, group_id=2)])


@code(PLAIN)
def orm_bulk_upsert(_: object) -> None:
    people = [User(pk=1, username="ann", is_active=False), User(pk=32, username="ivy")]
    User.objects.bulk_create(
        people, update_conflicts=True, unique_fields=["id"], update_fields=["is_active", "token_generation"]
    )


@code(PLAIN)
def orm_bulk_update(_: object) -> None:
    people = list(User.objects.filter(pk__in=[2, 4]))
    for each in people:
        each.is_active = not each.is_active
    User.objects.bulk_update(people, ["is_active"])


@code(PLAIN)
def orm_new_user(_: object) -> None:
    user = User.objects.create(username="jon")
    user.groups.add(2)
    user.user_permissions.add(2)


@code(REBIRTH)
def orm_delete_user(_: object) -> None:
    User.objects.get(pk=1).delete()


@code(REBIRTH)
def orm_delete_group(_: object) -> None:
    Group.objects.get(pk=1).delete()


@code(REBIRTH)
def orm_group_reborn(_: object) -> None:
    Group.objects.get(pk=1).delete()
    Group.objects.create(pk=1, name="staff").permissions.add(4)


@code(RENAME)
def orm_rename(_: object) -> None:
    permission = Permission.objects.get(pk=1)
    permission.codename = "peruse"
    permission.save()


@code(RENAME)
def orm_delete_permission(_: object) -> None:
    Permission.objects.get(pk=4).delete()


@code(RENAME)
def orm_new_permission(_: object) -> None:
    permission = Permission.objects.create(name="new", codename="new", content_type_id=2)
    Group.objects.get(pk=2).permissions.add(permission)


@code(CROWD)
def orm_crowd(_: object) -> None:
    for user in User.objects.filter(groups=4):
        user.groups.clear()
    Group.objects.get(pk=4).permissions.add(2)
