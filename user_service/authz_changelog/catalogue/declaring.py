"""Permissions of other services as rows of Django's own table.

An app label that no app of this project has belongs to another service. Which model such a permission is of
means nothing to anybody; Django wants one, so it is taken from the codename where that follows Django's form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import QuerySet

from authz_changelog import conf
from authz_changelog.labels import BadLabel, Label, parse
from authz_changelog.marks.watched import Link, Watched

_OF_A_MODEL = re.compile(r"(?:add|change|delete|view)_(\w+)")
SERVICE = "service"
"""The model of permissions that are of none."""


class Holders(NamedTuple):
    """How many hold a permission directly."""

    users: int
    groups: int


def own_apps() -> set[str]:
    """The app labels of this project: their permissions come from their models."""
    return {app.label for app in apps.get_app_configs()}


def of_other_services() -> QuerySet[Permission]:
    return Permission.objects.exclude(content_type__app_label__in=own_apps())


def label_of(permission: Permission) -> Label:
    return Label(permission.content_type.app_label, permission.codename)


def missing(wanted: Iterable[Label]) -> list[Label]:
    """Those that no permission bears, once each, in order."""
    wanted = dict.fromkeys(wanted)
    rows = Permission.objects.filter(content_type__app_label__in={label.app_label for label in wanted})
    there = set(rows.values_list("content_type__app_label", "codename"))
    return [label for label in wanted if label not in there]


def refuse_own(label: Label) -> None:
    """Raises `BadLabel` for a permission that a model of this project must declare."""
    if label.app_label in own_apps():
        raise BadLabel(
            f"{label} does not exist, and {label.app_label} is an app of this project: declare it in"
            " `permissions` of a model's Meta there and run `manage.py migrate`"
        )


def can_be_declared(text: object) -> Label:
    """The label, if it is one, no permission bears it, and none of this project's models must declare it.

    Raises `BadLabel`.
    """
    label = parse(text)
    if not missing([label]):
        raise BadLabel(f"{label} exists already")
    refuse_own(label)
    return label


@transaction.atomic
def declare(names: Mapping[Label, str]) -> list[Label]:
    """Create those that are missing, all or none; those that were. An empty name: one made of the codename.

    A name that is given replaces the one that is there. Raises `BadLabel`, see `refuse_own`.
    """
    created = missing(names)
    for label in created:
        refuse_own(label)
        _create(label, names[label] or label.default_name)
    for label in names.keys() - set(created):
        if names[label] and label.app_label not in own_apps():
            bearers = of_other_services().filter(
                content_type__app_label=label.app_label, codename=label.codename
            )
            bearers.exclude(name=names[label]).update(name=names[label])
    return created


def declare_settings() -> None:
    """Those of the setting `PERMISSIONS`, after every `migrate` and `flush`."""
    given = conf.current().permissions
    names = given if isinstance(given, Mapping) else dict.fromkeys(given, "")
    declare({parse(label): name for label, name in names.items()})


def holders(permission: Permission) -> Holders:
    watched = Watched()
    return Holders(
        *(_count(link, permission) for link in (watched.user_permissions, watched.group_permissions))
    )


def _count(link: Link, permission: Permission) -> int:
    return link.through._base_manager.filter(**{link.target.attname: permission.pk}).count()


def _create(label: Label, name: str) -> None:
    match = _OF_A_MODEL.fullmatch(label.codename)
    model = match[1].lower() if match else SERVICE
    content_type, _ = ContentType.objects.get_or_create(app_label=label.app_label, model=model)
    Permission.objects.get_or_create(
        content_type=content_type, codename=label.codename, defaults={"name": name[:255]}
    )
