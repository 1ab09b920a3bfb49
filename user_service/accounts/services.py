"""Every change to users, groups and what they hold."""

from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from accounts.models import User
from accounts.selectors import Holder, direct_permissions, permissions_by_label
from authz_changelog.catalogue import declaring
from authz_changelog.labels import Label


@transaction.atomic
def user_create(*, username: str, password: str, **profile: Any) -> User:
    return User.objects.create_user(username=username, password=password, **profile)


@transaction.atomic
def user_update(*, user: User, password: str | None = None, **changes: Any) -> User:
    """Writes only what changes, so that a concurrent change of another field is kept."""
    for name, value in changes.items():
        setattr(user, name, value)
    fields = list(changes)
    if password is not None:
        user.set_password(password)
        fields.append("password")
    user.save(update_fields=fields)
    return user


@transaction.atomic
def user_activate(*, user: User) -> None:
    user_update(user=user, is_active=True)


@transaction.atomic
def user_deactivate(*, user: User) -> None:
    """The tokens end for good: activating the user again does not bring them back."""
    user_update(user=user, is_active=False)
    user.raise_token_generation()


@transaction.atomic
def sign_out_everywhere(*, user: User) -> None:
    user.raise_token_generation()


@transaction.atomic
def group_update(*, group: Group, **changes: Any) -> Group:
    """Only ever an update: a group that was deleted meanwhile does not come back under its old id."""
    for name, value in changes.items():
        setattr(group, name, value)
    group.save(update_fields=list(changes))
    return group


@transaction.atomic
def permission_declare(*, label: Label, name: str = "") -> Permission:
    """Of another service. Raises `BadLabel` for one that a model of this project must declare."""
    declaring.declare({label: name})
    (permission,), _ = permissions_by_label([str(label)])
    return permission


@transaction.atomic
def permissions_replace(*, holder: Holder, permissions: Collection[Permission]) -> None:
    _lock(holder)
    direct_permissions(holder).set(permissions)


@transaction.atomic
def permissions_grant(*, holder: Holder, permissions: Collection[Permission]) -> None:
    _lock(holder)
    direct_permissions(holder).add(*permissions)


@transaction.atomic
def permissions_revoke(*, holder: Holder, permissions: Collection[Permission]) -> None:
    _lock(holder)
    direct_permissions(holder).remove(*permissions)


@transaction.atomic
def groups_replace(*, user: User, groups: Collection[Group]) -> None:
    _lock(user)
    user.groups.set(groups)


@transaction.atomic
def group_join(*, user: User, group: Group) -> None:
    _lock(user)
    user.groups.add(group)


@transaction.atomic
def group_leave(*, user: User, group: Group) -> None:
    _lock(user)
    user.groups.remove(group)


def _lock(holder: Holder) -> None:
    """Two replacements at once take turns: the result is one of them, never a mixture.

    The key stays free for who only refers to it, or one who writes a membership in SQL would be in a deadlock
    with us: its foreign key is looked at when it commits, and we wait for it by then.
    """
    type(holder).objects.select_for_update(no_key=True).values_list("pk").get(pk=holder.pk)
