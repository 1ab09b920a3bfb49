"""Triggers that record when tokens end: the user is deactivated, deleted, signed out everywhere, or gets
another subject.

A mark would not do: it says that a user may have changed, and who ends and returns between two runs of the
sequencer has not. So the end itself is recorded, with the generation that ended: `End`.

TRUNCATE leaves no rows to look at, and fires no trigger for one: who ends by it is looked up before.

Where triggers were off, somebody may end unseen. Whoever the log still takes for active, although a row just
returned or came, has ended before: that is recorded then, at the latest moment at which it can have been. By
a row that came he has lost something then, so it is marked as any change is.

The generation of the living row is its own, or one above the last that ended where that is more. An inactive
user has no tokens of its own generation, unless its deactivation was not recorded.
"""

# ruff: noqa: S608 (this module writes SQL from the names of Django's own models)
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Field, Model

from authz_changelog import clock
from authz_changelog.marks import rows
from authz_changelog.marks.kinds import USER
from authz_changelog.marks.watched import LONGEST, SEPARATOR, Subject, Watched
from authz_changelog.models import End, Entity, Mark

_GROUPS_OF_UUID = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
_OfRow = Callable[[str], str]
"""How something of a row is written in SQL."""


class Ending(NamedTuple):
    """A trigger of the user's table, as `triggers.Trigger` has it.

    On PostgreSQL what is done about each row is no whole body yet, but statements for `rows.block`.
    """

    table: str
    when: str
    body: str
    each: str = "ROW"


def endings(watched: Watched) -> Iterator[Ending]:
    for subject in watched.subjects:
        yield from _endings(watched, subject)
        yield from _returns(watched, subject)


def _endings(watched: Watched, subject: Subject) -> Iterator[Ending]:
    key, active, generation = _columns(watched, subject)
    differs, exactly = _comparison()
    condition = (
        f"({active('OLD')} AND NOT {active('NEW')})"
        f" OR {generation('OLD')} {differs} {generation('NEW')}"
        f" OR {key('OLD')} {differs} {key('NEW')}{exactly}"
    )
    ended = _ended(key, active, generation, "OLD")
    raised = f"{_greatest()}({ended}, {generation('NEW')} - 1)"
    table, row = watched.user._meta.db_table, f"WHERE {key('OLD')} IS NOT NULL"
    delete = _record(f"SELECT {key('OLD')}, {ended}, {clock.sql()} {row}")
    update = _record(f"SELECT {key('OLD')}, {raised}, {clock.sql()} {row}")
    if connection.vendor == "postgresql":
        yield Ending(table, "AFTER DELETE", f"{delete};")
        yield Ending(table, "AFTER UPDATE", f"IF {condition} THEN {update}; END IF;")
        last = _ended(key, active, generation, "gone")
        everybody = _record(f"SELECT {key('gone')}, {last}, {clock.sql()}")
        body = (
            f"BEGIN EXECUTE $all${everybody} FROM $all$ || TG_RELID::regclass"
            f" || $all$ AS gone WHERE {key('gone')} IS NOT NULL$all$; RETURN NULL; END"
        )
        yield Ending(table, "BEFORE TRUNCATE", body, "STATEMENT")
    else:
        yield Ending(table, "AFTER DELETE", f"BEGIN {delete}; END")
        yield Ending(table, "AFTER UPDATE", f"WHEN {condition} BEGIN {update}; END")


def _returns(watched: Watched, subject: Subject) -> Iterator[Ending]:
    """Who is back, and was not seen to end."""
    key, active, _ = _columns(watched, subject)
    returned = _record(_unseen(key("NEW"), _name(watched, subject, "NEW")))
    differs, exactly = _comparison()
    condition = f"(NOT {active('OLD')} AND {active('NEW')}) OR {key('OLD')} {differs} {key('NEW')}{exactly}"
    table = watched.user._meta.db_table
    if connection.vendor == "postgresql":
        yield Ending(table, "AFTER UPDATE", f"IF {condition} THEN {returned}; END IF;")
        # Not once a statement: what comes into a partition, or by replication, comes by none of this table.
        # Most who come are new, and nothing is asked about them but that: an import has many.
        lives = f"EXISTS (SELECT FROM {_living(_name(watched, subject, 'NEW'))})"
        ending = f"IF {lives} THEN {returned}; IF FOUND THEN {_mark(watched)}; END IF; END IF;"
        yield Ending(table, "AFTER INSERT", ending)
    else:
        replaced = _record(_replaced(key("NEW"), _name(watched, subject, "NEW")))
        yield Ending(table, "AFTER UPDATE", f"WHEN {condition} BEGIN {returned}; END")
        yield Ending(table, "AFTER INSERT", f"BEGIN {replaced}; END")


def _ended(key: _OfRow, active: _OfRow, generation: _OfRow, row: str) -> str:
    """The generation that ends with this row."""
    return _valid(key(row), generation(row), f"CASE WHEN {active(row)} THEN 1 ELSE 0 END")


def _unseen(key: str, name: str) -> str:
    """Who is active by the log, which calls him `name`, and has not ended since."""
    end, logged = _table(End), _logged("token_generation")
    return (
        f"SELECT {key}, {_valid(key, logged)}, {clock.sql()} FROM {_living(name)} AND {_logged('active')}"
        f" AND NOT EXISTS (SELECT 1 FROM {end} WHERE {end}.key = {key} AND generation >= {logged})"
    )


def _living(name: str) -> str:
    return f"{_table(Entity)} WHERE kind = '{USER}' AND key = {name} AND state IS NOT NULL"


def _logged(what: str) -> str:
    """A flag or a number of an entity's state."""
    if connection.vendor != "postgresql":
        return f"json_extract(state, '$.{what}')"
    return f"CAST(CAST(state AS json) ->> '{what}' AS {'boolean' if what == 'active' else 'bigint'})"


def _replaced(key: str, name: str) -> str:
    """On SQLite: who lives by the log and is gone without a trigger, by REPLACE."""
    end, logged = _table(End), _logged("token_generation")
    since = f"SELECT max(at) FROM {end} WHERE {end}.key = {key} AND generation >= {logged}"
    return f"SELECT {key}, {_valid(key, logged)}, coalesce(({since}), {clock.sql()}) FROM {_living(name)}"


def _valid(key: str, own: str, above: str = "1") -> str:
    """The generation of the tokens that are valid: its own, or that much above the last that ended."""
    end = _table(End)
    last = f"SELECT max(generation) + {above} FROM {end} WHERE {end}.key = {key}"
    return f"{_greatest()}({own}, coalesce(({last}), 0))"


def _record(ended: str) -> str:
    return f"INSERT INTO {_table(End)} (key, generation, at) {ended}"


def _mark(watched: Watched) -> str:
    """Of the row that came, on PostgreSQL."""
    key = _value("NEW", watched.user._meta.pk, "text")
    return (
        f"INSERT INTO {_table(Mark)} (kind, key, tx, marked_at)"
        f" SELECT '{USER}', {key}, txid_current(), {clock.sql()}"
    )


def _columns(watched: Watched, subject: Subject) -> tuple[_OfRow, _OfRow, _OfRow]:
    """How a row's subject of this field, whether it is active, and its own generation are written."""
    fields = {field.name: field for field in watched.user_fields()}
    active, generation = fields.get("is_active"), fields.get("token_generation")
    return (
        lambda row: _key(_value(row, subject.field, "text"), subject, alone=not watched.other_subjects),
        lambda row: "TRUE" if active is None else _value(row, active, "boolean"),
        lambda row: "0" if generation is None else _value(row, generation, "bigint"),
    )


def _name(watched: Watched, subject: Subject, row: str) -> str:
    """What the log calls a row's subject: as Python spells it, which on SQLite is another way for UUIDs."""
    said = _value(row, subject.field, "text")
    if connection.vendor == "sqlite" and subject.field.get_internal_type() == "UUIDField":
        said = " || '-' || ".join(f"substr({said}, {at}, {size})" for at, size in _GROUPS_OF_UUID)
    return _key(f"({said})", subject, alone=not watched.other_subjects)


def _key(said: str, subject: Subject, *, alone: bool) -> str:
    """As `Subject.key`: what names nobody is null, so that no text is mistaken for another field's."""
    if alone:
        return said
    found = "strpos" if connection.vendor == "postgresql" else "instr"
    named = (
        f"length({said}) BETWEEN 1 AND {LONGEST - len(subject.prefix)} AND {found}({said}, '{SEPARATOR}') = 0"
    )
    return f"(CASE WHEN {named} THEN '{subject.prefix}' || {said} END)"


def _value(row: str, field: Field[Any, Any], kind: str) -> str:
    if connection.vendor == "postgresql":
        return f"CAST({rows.said(row, field)} AS {kind})"
    column = f"{row}.{connection.ops.quote_name(str(field.column))}"
    return f"CAST({column} AS text)" if kind == "text" else column


def _comparison() -> tuple[str, str]:
    """What says that two subjects differ, byte by byte, and what follows it."""
    return ("IS DISTINCT FROM", "") if connection.vendor == "postgresql" else ("IS NOT", " COLLATE BINARY")


def _greatest() -> str:
    return "greatest" if connection.vendor == "postgresql" else "max"


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)
