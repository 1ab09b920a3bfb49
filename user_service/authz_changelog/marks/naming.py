"""Whether fields of the user can be its subjects: what tokens name it by.

There must be one user for a subject at most, told apart as the log and sidecars do it, byte by byte; and the
triggers, which see one table, must see it change.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import connection
from django.db.models import Field, Model
from django.db.models.query_utils import DeferredAttribute

from authz_changelog import conf
from authz_changelog.marks import watchable
from authz_changelog.marks.watchable import Problem
from authz_changelog.marks.watched import LONGEST, column

TEXTS = ("CharField", "SlugField", "TextField")
KINDS = (
    *TEXTS,
    "UUIDField",
    "IntegerField",
    "BigIntegerField",
    "PositiveIntegerField",
    "PositiveBigIntegerField",
)
FITTING = (
    "Name a column of the user's own table that is unique and never null: a text, a UUID or a whole number."
)


def misfits() -> list[Problem]:
    """All that keeps this project's users from being watched and named."""
    user = get_user_model()
    return [*watchable.problems(user, connection.vendor), *problems(user, *conf.subjects())]


def problems(user: type[Model], main: str, *others: str) -> Iterator[Problem]:
    """Why users cannot be told by the fields of these names; the primary key can always be."""
    for name in (main, *others):
        for what in _wrong(user, name, main=name == main):
            yield _problem(user, name, what)
    keys = [name for name in (main, *others) if name in ("pk", user._meta.pk.name)]
    if len(keys) > 1:
        yield _problem(user, keys[1], f"is {keys[0]}, which is named already")


def _problem(user: type[Model], name: str, what: str) -> Problem:
    return Problem(
        "authz_changelog.E009", f"AUTHZ_CHANGELOG['SUBJECT']: {user._meta.label}.{name} {what}.", FITTING
    )


def _wrong(user: type[Model], name: str, *, main: bool) -> Iterator[str]:
    """Whom another than the main field does not name has the main one."""
    try:
        field = column(user, name)
    except FieldDoesNotExist:
        yield "is no column of the user"
        return
    if field.primary_key:
        return
    if field not in user._meta.concrete_fields or field.model._meta.db_table != user._meta.db_table:
        yield "is no column of the user's own table, whose changes are seen"
        return
    if field.get_internal_type() not in KINDS or _is_changed_by_python(field):
        yield f"is a {type(field).__name__}: what the database holds is not what a token says"
        return
    if type(inspect.getattr_static(user, field.attname, None)) is not DeferredAttribute:
        yield "is overridden: Python says something else than the column"
    if field.null and main:
        yield "can be null: nobody would be meant"
    if not _is_unique(user, field):
        yield "is not unique: two users would be one subject"
    yield from _of_text(field)


def _of_text(field: Field[Any, Any]) -> Iterator[str]:
    if field.get_internal_type() in TEXTS and (field.max_length or LONGEST + 1) > LONGEST:
        yield f"can be longer than {LONGEST} characters"
    if collation := getattr(field, "db_collation", None):
        yield f"has the collation {collation!r}, by which two subjects of tokens can be one"


def _is_unique(user: type[Model], field: Field[Any, Any]) -> bool:
    constraints = user._meta.total_unique_constraints
    return field.unique or any(constraint.fields == (field.name,) for constraint in constraints)


def _is_changed_by_python(field: Field[Any, Any]) -> bool:
    """A class of somebody's own that converts, or that has another type in the database (citext)."""
    methods = ("from_db_value", "db_type", "get_prep_value", "get_db_prep_value", "to_python")
    return any(not _is_djangos(getattr(type(field), name, None)) for name in methods)


def _is_djangos(method: Any) -> bool:
    return method is None or str(method.__module__).startswith("django.db.")
