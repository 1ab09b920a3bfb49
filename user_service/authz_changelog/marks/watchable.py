"""Whether a project's user model can be watched: triggers see the columns of one table, and nothing else.

What Python adds to a row (a property, a descriptor), or another table (multi-table inheritance), changes
without a trigger that fires: whoever is deactivated there would stay authorized.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import NamedTuple

from django.core.exceptions import AppRegistryNotReady, FieldDoesNotExist
from django.db.models import BooleanField, Field, Model
from django.db.models.query_utils import DeferredAttribute

from authz_changelog.marks.watched import Link

VENDORS = ("postgresql", "sqlite")


class Problem(NamedTuple):
    id: str
    what: str
    mend: str


def problems(user: type[Model], vendor: str) -> list[Problem]:
    """Why changes of this user model could be missed, all reasons at once. `vendor`: the database's."""
    return [*_of_database(vendor), *_of_inheritance(user), *_of_flags(user), *_of_links(user)]


def _of_database(vendor: str) -> Iterator[Problem]:
    if vendor not in VENDORS:
        yield Problem(
            "authz_changelog.E001",
            f"The change log has no triggers for the database {vendor!r}.",
            "Keep users and permissions in PostgreSQL or SQLite.",
        )


def _of_inheritance(user: type[Model]) -> Iterator[Problem]:
    parents = [parent for parent in user._meta.parents if _table(parent) != _table(user)]
    if parents:
        yield Problem(
            "authz_changelog.E002",
            f"{user._meta.label} inherits columns from the table of {parents[0]._meta.label}: a user is rows"
            " of several tables, and changes of one would be missed.",
            "Inherit from an abstract model (AbstractUser, or AbstractBaseUser with PermissionsMixin), or"
            " make the parent AUTH_USER_MODEL and what this model adds a model of its own.",
        )


def _of_flags(user: type[Model]) -> Iterator[Problem]:
    for name in ("is_active", "is_superuser"):
        if not (_is_column(user, name) or _is_always_active(user, name)):
            yield Problem(
                "authz_changelog.E003",
                f"{user._meta.label}.{name} is no column of {_table(user)!r} that is true or false, or is"
                " overridden: what changes it would be missed.",
                f"Let {name} be a BooleanField (never null) and what is computed today be written to it,"
                " or give the computed value another name.",
            )


def _is_column(user: type[Model], name: str) -> bool:
    try:
        field = user._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    plain = type(inspect.getattr_static(user, name, None)) is DeferredAttribute
    return plain and isinstance(field, BooleanField) and not field.null


def _is_always_active(user: type[Model], name: str) -> bool:
    """Django's `AbstractBaseUser` without the field: nobody is ever deactivated."""
    return name == "is_active" and inspect.getattr_static(user, name, None) is True


def _of_links(user: type[Model]) -> Iterator[Problem]:
    for name in ("groups", "user_permissions"):
        try:
            link = Link.of(user, name)
            if name == "groups":
                Link.of(link.targets, "permissions")
        except (FieldDoesNotExist, AppRegistryNotReady) as error:
            yield Problem(
                "authz_changelog.E004",
                f"{user._meta.label} does not hold permissions and groups as Django's users do: {error}.",
                "Inherit from django.contrib.auth.models.PermissionsMixin.",
            )
        else:
            yield from _of_link(f"{user._meta.label}.{name}", link)


def _of_link(label: str, link: Link) -> Iterator[Problem]:
    ends = (link.owner, link.target)
    if not all(_table(end.model) == _table(link.through) and _refers_to_key(end) for end in ends):
        yield Problem(
            "authz_changelog.E005",
            f"The rows of {label} do not name both ends by their primary keys, in one table.",
            "Let the foreign keys of its `through` model refer to primary keys (no `to_field`) and be"
            " columns of its own table.",
        )


def _refers_to_key(end: Field[object, object]) -> bool:
    return all(there.primary_key for _, there in getattr(end, "related_fields", ()))


def _table(model: type[Model]) -> str:
    return model._meta.db_table
