"""What the change log watches: the models and fields that decide what a user may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, ManyToManyField, Model

USER, GROUP = "user", "group"


@dataclass(frozen=True)
class Link:
    """One many-to-many table: which rows of `through` belong to which owner."""

    through: type[Model]
    owner: Field
    target: Field

    @classmethod
    def of(cls, field: ManyToManyField) -> Link:
        through = field.remote_field.through
        return cls(
            through,
            through._meta.get_field(field.m2m_field_name()),
            through._meta.get_field(field.m2m_reverse_field_name()),
        )


class Watched:
    """The watched models, found from `AUTH_USER_MODEL` (any model with Django's `PermissionsMixin`)."""

    def __init__(self) -> None:
        self.user = get_user_model()
        memberships = self.user._meta.get_field("groups")
        self.group = memberships.related_model
        grants = self.group._meta.get_field("permissions")
        self.permission = grants.related_model
        self.content_type = ContentType
        self.memberships = Link.of(memberships)
        self.user_permissions = Link.of(self.user._meta.get_field("user_permissions"))
        self.group_permissions = Link.of(grants)

    def model(self, kind: str) -> type[Model]:
        return self.user if kind == USER else self.group

    def key(self, kind: str, text: str) -> str:
        """The key as Python spells it: databases spell some types (UUID) otherwise."""
        return str(self.model(kind)._meta.pk.to_python(text))

    def existing(self, kind: str, keys: Iterable[str]) -> set[str]:
        """Those of the keys that exist."""
        rows = self.model(kind)._base_manager.filter(pk__in=list(keys))
        return {str(pk) for pk in rows.values_list("pk", flat=True)}

    def user_fields(self) -> list[Field]:
        """Fields of the user that are part of its state; a user model may lack the last one or two."""
        names = ("is_superuser", "is_active", "token_generation")
        return [field for name in names if (field := self._user_field(name))]

    def _user_field(self, name: str) -> Field | None:
        try:
            return self.user._meta.get_field(name)
        except FieldDoesNotExist:
            return None

    def tables(self) -> list[str]:
        links = (self.user_permissions, self.memberships, self.group_permissions)
        models = (self.user, self.group, self.permission, self.content_type)
        return [model._meta.db_table for model in (*models, *(link.through for link in links))]
