"""What the log calls users: by the fields that `AUTHZ_CHANGELOG["SUBJECT"]` names, as tokens do.

Marks, links and all that is Django's name a user by its primary key, and so does the log's entity, as its
`owner`. A mark of a user concerns several subjects: those that it has, and those that the log knows it by.
The state of each is that of the user who has it *now*, whoever had it before, or a tombstone. So nothing is
missed, whichever of two users that pass a subject on is looked at first. And no mark has to know a subject:
whoever grants something cannot see that another transaction is changing it.

What the main field says is a subject as it is; what another says has the field's name before it, and between
them a character that no subject has. Which field a subject is of is thus the same in all of an epoch: other
fields begin another, which sidecars do not follow before everybody is named anew.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Field, Model

from authz_changelog import sql
from authz_changelog.marks.kinds import ALL, USER
from authz_changelog.marks.watched import SEPARATOR, Subject, Watched
from authz_changelog.models import Head, Mark
from authz_changelog.revisions import epochs
from authz_changelog.revisions.errors import SequencingFailed
from authz_changelog.revisions.transactions import beside_no_run


def adopt() -> None:
    """From now on the log names users by the fields that the setting says; their triggers are there."""
    if _kept() == _wanted():
        return
    with beside_no_run(seconds=30):
        epochs.begin_another(subject=_wanted())
        Mark.objects.create(kind=ALL, key=USER)


def refuse_others(kept: str) -> None:
    """Raise `SequencingFailed` in a process that does not name users by the fields that are `kept`."""
    if kept != _wanted():
        raise SequencingFailed(
            f"AUTHZ_CHANGELOG['SUBJECT'] is {_wanted()!r}, and the log names users by {kept!r}:"
            " run `manage.py migrate`, or restart what still has the old setting"
        )


def _kept() -> str:
    kept: str = Head.objects.values_list("subject", flat=True).get()
    return kept


def _wanted() -> str:
    return " ".join(subject.name for subject in Watched().subjects)


def of(user: Model) -> str:
    """What our own tokens call this user; empty: nothing."""
    return str(_said(user, Watched().subject))


def all_of(user: Model) -> list[str]:
    """All that the log calls this user."""
    keys = (subject.key(_said(user, subject.field)) for subject in Watched().subjects)
    return [key for key in keys if key is not None]


def _said(user: Model, field: Field[Any, Any]) -> Any:
    return field.to_python(getattr(user, str(field.attname)))


def user(subject: str) -> Model | None:
    """Whom our own tokens call so."""
    watched = Watched()
    value = _value(watched.subject, subject)
    if value is None:
        return None
    fields = watched.user._meta.concrete_fields
    where = f"{sql.at(watched.subject)} = %s"
    (rows,) = sql.read(sql.Select(fields, where, sql.prepared(watched.subject, [value])))
    found = (sql.instance(watched.user, row) for row in rows)
    return next((each for each in found if of(each) == subject), None)


def holder(subject: str) -> str | None:
    """The primary key of the user whom the log calls so."""
    return holders([subject]).get(subject)


def spellings(subjects: Collection[str]) -> dict[str, str]:
    """These subjects, by how the database spells them in triggers: UUIDs, say, may be other texts there."""
    watched = Watched()
    return {_spelled(watched, subject): subject for subject in subjects}


def _spelled(watched: Watched, subject: str) -> str:
    by, text = _parsed(watched, subject)
    value = None if by is None else _value(by.field, text)
    if by is None or value is None:
        return subject
    return by.prefix + str(by.field.get_db_prep_value(value, connection))


def _parsed(watched: Watched, subject: str) -> tuple[Subject | None, str]:
    """The field that it is of, and what that says; a field that names nobody now is none."""
    name, separator, text = subject.rpartition(SEPARATOR)
    prefix = name + separator
    return next((each for each in watched.subjects if each.prefix == prefix), None), text


def named(keys: Collection[str]) -> dict[str, str]:
    """All subjects of these users that exist, each with whose it is, by primary key."""
    watched = Watched()
    pk, said = watched.user._meta.pk, [subject.field for subject in watched.subjects]
    possible = [value for key in keys if (value := _value(pk, key)) is not None]
    if not possible:
        return {}
    these, values = sql.among(sql.prepared(pk, possible))
    (rows,) = sql.read(sql.Select([pk, *said], f"{sql.at(pk)} {these}", values))
    found = (
        (subject.key(value), str(key))
        for key, *values in rows
        for subject, value in zip(watched.subjects, values, strict=True)
    )
    return {subject: key for subject, key in found if subject is not None}


def _possible(keys: Collection[str]) -> list[str]:
    """Those that can be primary keys. Others are subjects whose owners an older version has not kept."""
    field = Watched().user._meta.pk
    return [key for key in keys if _value(field, key) is not None]


def held_by(keys: Collection[str]) -> dict[str, str]:
    """The subjects that these users have, each with the user's primary key."""
    watched = Watched()
    found: dict[str, str] = {}
    if watched.subject_is_key:
        found |= {key: key for key in _possible(keys) if SEPARATOR not in key}  # also of who is gone
    if keys and (watched.other_subjects or not watched.subject_is_key):
        found |= named(keys)
    return found


def owner(subject: str, key: str) -> str | None:
    """What the log keeps of whose subject it is: nothing where it is the primary key itself."""
    return None if subject == key else key


def holders(subjects: Collection[str]) -> dict[str, str]:
    """Who has these now. What the database takes for equal, as a collation may, is not the same subject."""
    watched, wanted = Watched(), set(subjects)
    found: dict[str, str] = {}
    parsed = [_parsed(watched, subject) for subject in subjects]
    for each in watched.subjects:
        texts = [text for by, text in parsed if by == each]
        values = [value for text in texts if (value := _value(each.field, text)) is not None]
        if not values:
            continue
        rows = watched.user._base_manager.filter(**{f"{each.field.name}__in": values})
        for said, key in rows.values_list(each.field.name, "pk"):
            if (subject := each.key(said)) in wanted and subject is not None:
                found[subject] = str(key)
    return found


def _value(field: Field[Any, Any], subject: str) -> Any:
    """As the field has it; `None` for what cannot be in it."""
    try:
        value = field.to_python(subject)
    except ValidationError:
        return None
    return None if isinstance(value, int) and value.bit_length() > 63 else value
