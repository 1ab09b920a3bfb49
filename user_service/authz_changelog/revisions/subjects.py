"""What the log calls users: by the field that `AUTHZ_CHANGELOG["SUBJECT"]` names, as tokens do.

Marks, links and all that is Django's name a user by its primary key, and so does the log's entity, as its
`owner`. A mark of a user concerns two subjects: the one that it has, and the one that the log knows it by.
The state of either is that of the user who has it *now*, whoever had it before, or a tombstone. So nothing is
missed, whichever of two users that pass a subject on is looked at first. And no mark has to know a subject:
whoever grants something cannot see that another transaction is changing it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Field, Model, Q

from authz_changelog.marks.kinds import USER
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Entity, Head
from authz_changelog.revisions.errors import SequencingFailed


def adopt() -> None:
    """From now on the log names users by the field that the setting says; its triggers are there."""
    Head.objects.update(subject=_field())


def refuse_others() -> None:
    """Raise `SequencingFailed` in a process that would name users otherwise than the log does."""
    kept = Head.objects.values_list("subject", flat=True).get()
    if kept != _field():
        raise SequencingFailed(
            f"AUTHZ_CHANGELOG['SUBJECT'] is {_field()!r}, and the log names users by {kept!r}:"
            " run `manage.py migrate`, or restart what still has the old setting"
        )


def _field() -> str:
    watched = Watched()
    return "pk" if watched.subject_is_key else watched.subject.name


def of(user: Model) -> str:
    """What tokens call this user; empty: nothing."""
    field = Watched().subject
    return str(field.to_python(getattr(user, str(field.attname))))


def user(subject: str) -> Model | None:
    """Whom tokens call so."""
    watched = Watched()
    value = _value(watched.subject, subject)
    if value is None:
        return None
    found: Model | None = watched.user._base_manager.filter(**{watched.subject.name: value}).first()
    return found if found is not None and of(found) == subject else None


def spellings(subjects: Collection[str]) -> dict[str, str]:
    """These subjects, by how the database spells them in triggers: UUIDs, say, may be other texts there."""
    field = Watched().subject
    values = {subject: _value(field, subject) for subject in subjects}
    return {
        subject if value is None else str(field.get_db_prep_value(value, connection)): subject
        for subject, value in values.items()
    }


def named(keys: Collection[str]) -> dict[str, str]:
    """The subjects of those of these users that exist, by primary key. An empty one is none."""
    watched = Watched()
    rows = watched.user._base_manager.filter(pk__in=list(keys)).values_list("pk", watched.subject.name)
    return {str(key): str(subject) for key, subject in rows if subject != ""}


def concerned(keys: Collection[str]) -> dict[str, str | None]:
    """The subjects that marks of these users concern, each with the primary key of who has it, if anybody."""
    if not keys:
        return {}
    if Watched().subject_is_key:
        found: dict[str, str | None] = {key: key for key in keys}
        theirs = Q(owner__in=list(keys))  # from when the subject was another field
    else:
        found = {subject: key for key, subject in named(keys).items()}
        theirs = Q(owner__in=list(keys)) | Q(owner=None, key__in=list(keys))
    known = Entity.objects.filter(theirs, kind=USER, state__isnull=False)
    left = [subject for subject in known.values_list("key", flat=True) if subject not in found]
    return found | dict.fromkeys(left) | _holders(left)


def owner(subject: str, key: str) -> str | None:
    """What the log keeps of whose subject it is: nothing where it is the primary key itself."""
    return None if subject == key else key


def _holders(subjects: Collection[str]) -> dict[str, str]:
    """Who has these now. What the database takes for equal, as a collation may, is not the same subject."""
    watched, wanted = Watched(), set(subjects)
    values = [value for each in subjects if (value := _value(watched.subject, each)) is not None]
    if not values:
        return {}
    rows = watched.user._base_manager.filter(**{f"{watched.subject.name}__in": values})
    found = ((str(subject), str(key)) for key, subject in rows.values_list("pk", watched.subject.name))
    return {subject: key for subject, key in found if subject in wanted}


def _value(field: Field[Any, Any], subject: str) -> Any:
    """As the field has it; `None` for what cannot be in it."""
    try:
        value = field.to_python(subject)
    except ValidationError:
        return None
    return None if isinstance(value, int) and value.bit_length() > 63 else value
