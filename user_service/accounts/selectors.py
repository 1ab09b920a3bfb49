"""Reads: who may see whom, and what permissions are called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from django.contrib.auth.models import AnonymousUser, Group, Permission
from django.db.models import CharField, F, Func, Q, QuerySet, Value

from accounts.models import User
from authz_changelog.catalogue import declaring

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations  # the stubs are not installed where the service runs

    LabelledPermission = WithAnnotations[Permission, "Label"]


class Label(TypedDict):
    """What `permissions_labelled` adds to a permission."""

    label: str


PEOPLE = Q(content_type__app_label="accounts", content_type__model="user") | Q(
    content_type__app_label="auth", content_type__model="group"
)
"""The permissions of this service's own models that mean something outside of it."""

Holder = User | Group
"""Whatever permissions can be given to."""


def users_visible_to(user: User | AnonymousUser) -> QuerySet[User]:
    """Administrators see everybody, others themselves."""
    everybody = User.objects.order_by("pk")
    if user.is_superuser:
        return everybody
    return everybody.none() if user.pk is None else everybody.filter(pk=user.pk)


def groups_visible_to(user: User | AnonymousUser) -> QuerySet[Group]:
    """Administrators see every group, others the groups they are in."""
    groups = Group.objects.order_by("pk")
    return groups if user.is_superuser else groups.filter(user=user.pk)


def permissions_labelled(queryset: QuerySet[Permission] | None = None) -> QuerySet[LabelledPermission]:
    """Permissions with their `label`: `app_label.codename`."""
    permissions = Permission.objects.all() if queryset is None else queryset
    parts = (F("content_type__app_label"), Value("."), F("codename"))
    label = Func(*parts, template="(%(expressions)s)", arg_joiner=" || ", output_field=CharField())
    return permissions.annotate(label=label).order_by("label", "pk")


def permissions_to_choose_from(holder: Holder | None = None) -> QuerySet[LabelledPermission]:
    """Those of other services, of users and groups: not those of this service's internal tables.

    And what this holder holds already: a form that did not offer it would take it away.
    """
    wanted = ~Q(content_type__app_label__in=declaring.own_apps()) | PEOPLE
    if holder is not None:
        wanted |= Q(pk__in=direct_permissions(holder).values("pk"))
    return permissions_labelled().filter(wanted)


def permissions_by_label(labels: Iterable[str]) -> tuple[list[LabelledPermission], list[str]]:
    """The permissions that bear these labels, and the labels that nobody bears."""
    wanted = set(labels)
    halves = [label.partition(".") for label in wanted]
    apps, names = {app for app, _, _ in halves}, {name for _, _, name in halves}
    likely = permissions_labelled().order_by().filter(content_type__app_label__in=apps, codename__in=names)
    found = [permission for permission in likely if permission.label in wanted]
    return found, sorted(wanted - {permission.label for permission in found})


def direct_labels(holder: Holder) -> list[str]:
    return sorted(set(permissions_labelled(direct_permissions(holder).all()).values_list("label", flat=True)))


def direct_permissions(holder: Holder) -> Any:
    """The manager of what is given directly; Django makes its class per relation."""
    return holder.user_permissions if isinstance(holder, User) else holder.permissions


def grants(holder: Holder) -> dict[str, object]:
    """What a user or group holds, as the API shows it."""
    return user_grants(holder) if isinstance(holder, User) else group_grants(holder)


def group_grants(group: Group) -> dict[str, Any]:
    return {"id": group.pk, "name": group.name, "permissions": direct_labels(group)}


def user_grants(user: User) -> dict[str, object]:
    """What a user holds directly, what each of its groups adds, and what it can do in effect."""
    direct = direct_labels(user)
    groups = [group_grants(group) for group in user.groups.order_by("pk")]
    effective = {*direct, *(label for group in groups for label in group["permissions"])}
    if user.is_superuser or not user.is_active:
        effective = user.get_all_permissions()
    return {"direct": direct, "via_groups": groups, "effective": sorted(effective)}
