"""Identity is not reused: what was issued before an end is void, for a later user of the same subject, too.

A user's tokens are of one generation. It is the number in the user's own row (none: 0), or one more than the
last generation that ended, where that is more: so it never goes back, whatever is restored or made again
under the same key. Tokens of other issuers carry no generation: all that were issued until the newest end
are void. Triggers record ends (`marks.ends`).
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import Model

from authz_changelog import clock, conf, sql
from authz_changelog.marks.kinds import USER
from authz_changelog.marks.watched import column
from authz_changelog.models import End, Mark
from authz_changelog.revisions import subjects

FORGOTTEN = "forgotten:"
"""Begins the keys of those whose subject is kept as a keyed hash only."""


class Ended(NamedTuple):
    """The newest end of a user: the last generation that is void, and until when tokens without one are."""

    generation: int
    at: datetime

    @property
    def tokens_not_before(self) -> int:
        """Unix seconds, rounded up: a token that claims this second may have been issued before."""
        return math.ceil(self.at.timestamp())


def current(user: Model) -> int:
    """The generation of the tokens that this user holds, and that may be issued."""
    return _generation(user, subjects.of(user))


def _generation(user: Model, subject: str) -> int:
    ended = ends([subject]).get(subject)
    own: int = getattr(user, "token_generation", 0)
    return own if ended is None else max(own, ended.generation + 1)


def end(user: Model) -> None:
    """All tokens of this user that were issued until now are void, whatever the user model has."""
    names = subjects.spellings(subjects.all_of(user))
    with transaction.atomic():
        End.objects.bulk_create(
            End(key=name, generation=_generation(user, subject), at=clock.now())
            for name, subject in names.items()
        )
        Mark.objects.create(kind=USER, key=text(user.pk))


def ends(those: Collection[str]) -> dict[str, Ended]:
    """The newest end of those subjects that had one."""
    names = _names(those)
    found: dict[str, Ended] = {}
    for key, generation, at in _newest(list(names)) if names else ():
        other = found.get(names[key], Ended(generation, at))
        found[names[key]] = Ended(max(generation, other.generation), max(at, other.at))
    return found


def _newest(names: list[str]) -> list[sql.Row]:
    """By key, the greatest generation and instant."""
    fields = [column(End, name) for name in ("key", "generation", "at")]
    key, generation, at = map(sql.at, fields)
    these, parameters = sql.among(names)
    rows = sql.execute(
        f"SELECT {key}, max({generation}), max({at}) FROM {sql.table(End)}"  # noqa: S608 (our own table's names)
        f" WHERE {key} {these} GROUP BY {key}",
        parameters,
    )
    return sql.converted(rows, fields)


def text(pk: Any) -> str:
    """A primary key as the database spells it, in triggers too."""
    field = get_user_model()._meta.pk
    return str(field.get_db_prep_value(pk, connection))


def forgotten(subject: str) -> str | None:
    """What stands for a subject that had to be forgotten; `None` where nobody can be."""
    secret = conf.current().forget_key
    if not secret:
        return None
    return FORGOTTEN + hmac.digest(secret.encode(), subject.encode(), hashlib.sha256).hex()


def _names(those: Collection[str]) -> dict[str, str]:
    """By each key that an end of them may have."""
    spelled = subjects.spellings(those)
    if not conf.current().forget_key:
        return spelled
    hashed = {name: subject for key, subject in spelled.items() if (name := forgotten(key))}
    return spelled | hashed
