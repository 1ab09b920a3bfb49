"""What the change log watches: the models and fields that decide what a user may do."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import AppRegistryNotReady, FieldDoesNotExist, ValidationError
from django.db.models import Field, ManyToManyField, Model

from authz_changelog import conf
from authz_changelog.marks.kinds import USER

SEPARATOR: Final = "\x1f"
"""Between a field and what it says of a user. No token can claim it: sidecars refuse control characters."""
LONGEST: Final = 255
"""Characters of a subject."""


@dataclass(frozen=True)
class Subject:
    """A field that names users. What the main one says is what the log calls them; others have a prefix."""

    field: Field[Any, Any]
    prefix: str = ""

    @property
    def name(self) -> str:
        return "pk" if self.field.primary_key else self.field.name

    def key(self, value: Any) -> str | None:
        """What the log calls the user of whom the field says this; `None`: that names nobody."""
        text = "" if value is None else str(value)
        named = text and SEPARATOR not in text and len(self.prefix + text) <= LONGEST
        return self.prefix + text if named else None


@dataclass(frozen=True)
class Link:
    """One many-to-many table: which rows of `through` belong to which owner."""

    through: type[Model]
    owner: Field[Any, Any]
    target: Field[Any, Any]
    targets: type[Model]

    @classmethod
    @lru_cache(maxsize=20)
    def of(cls, model: type[Model], name: str) -> Link:
        """The many-to-many field of this name."""
        relation = model._meta.get_field(name)
        if not isinstance(relation, ManyToManyField):
            raise FieldDoesNotExist(f"{model._meta.label}.{name} is no many-to-many field")
        through = relation.remote_field.through
        if through is None:
            raise AppRegistryNotReady(f"{model._meta.label}.{name} has no table yet")
        return cls(
            through,
            column(through, relation.m2m_field_name()),
            column(through, relation.m2m_reverse_field_name()),
            relation.remote_field.model,
        )


@lru_cache(maxsize=100)
def column(model: type[Model], name: str) -> Field[Any, Any]:
    """Raises `FieldDoesNotExist`, also for a name that is no column of the model's own table."""
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    if not isinstance(field, Field):
        raise FieldDoesNotExist(f"{model._meta.label}.{name} is no column")
    return field


class Watched:
    """The watched models, found from `AUTH_USER_MODEL`; which ones can be watched is in `watchable`."""

    def __init__(self) -> None:
        self.user: type[Model] = get_user_model()
        main, *others = (Subject(column(self.user, name)) for name in conf.subjects())
        self.subject = main.field
        """What our own tokens name a user by; marks and links name it by its primary key."""
        self.other_subjects = [Subject(each.field, each.name + SEPARATOR) for each in others]
        self.subjects = [main, *self.other_subjects]
        """All that tokens and the log name a user by."""
        self.memberships = Link.of(self.user, "groups")
        self.user_permissions = Link.of(self.user, "user_permissions")
        self.group = self.memberships.targets
        self.group_permissions = Link.of(self.group, "permissions")
        self.permission = self.group_permissions.targets
        self.content_type: type[Model] = ContentType

    def model(self, kind: str) -> type[Model]:
        return self.user if kind == USER else self.group

    @property
    def subject_is_key(self) -> bool:
        return self.subject.primary_key

    def key(self, kind: str, text: str) -> str:
        """The key as Python spells it: databases spell some types (UUID) otherwise. What is none stays."""
        with suppress(ValidationError):
            return str(self.model(kind)._meta.pk.to_python(text))
        return text

    def user_fields(self) -> list[Field[Any, Any]]:
        """Fields of the user that are part of its state; a user model may lack the last one or two."""
        present = {field.name for field in self.user._meta.concrete_fields}
        names = ("is_superuser", "is_active", "token_generation")
        return [column(self.user, name) for name in names if name in present]

    def tables(self) -> list[str]:
        """Those that others refer to come first."""
        links = (self.user_permissions, self.memberships, self.group_permissions)
        models = (self.content_type, self.permission, self.group, self.user)
        return [model._meta.db_table for model in (*models, *(link.through for link in links))]
