"""The settings of the change log: the dictionary `AUTHZ_CHANGELOG` of a project's settings.

Every key has a default. Keys are the names of `Settings` in capital letters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from authz_changelog import labels

NAME = "AUTHZ_CHANGELOG"

Mistakes = Callable[[Any], Iterator[str]]
"""What is wrong with a value, each with its mend."""


class Misfit(NamedTuple):
    what: str
    mend: str


def _text(value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"must be a text, not {value!r}"


def _number(value: Any) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        yield f"must be a whole number from 1 up, not {value!r}"


def _permissions(value: Any) -> Iterator[str]:
    if isinstance(value, str) or not isinstance(value, list | tuple | set | Mapping):
        yield f"must be a list of labels, or a dictionary of labels and names, not {value!r}"
        return
    for label in value:
        try:
            labels.parse(label)
        except labels.BadLabel as error:
            yield str(error)
    if isinstance(value, Mapping):
        yield from (f"the name of {label} must be a text" for label in value if not _is_name(value[label]))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255


def _subjects(value: Any) -> Iterator[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        yield f"must be the name of a field, or a list of names, not {value!r}"
    elif len(set(names)) < len(names):
        yield "names a field twice"


def _about(meaning: str, mistakes: Mistakes) -> dict[str, Any]:
    return {"meaning": meaning, "mistakes": mistakes}


@dataclass(frozen=True)
class Settings:
    """What holds now."""

    amqp_url: str = field(
        default="", metadata=_about("broker of the relay; empty: it does the upkeep alone", _text)
    )
    audit_seconds: int = field(
        default=600, metadata=_about("within which all of the log is compared, again and again", _number)
    )
    forget_key: str = field(
        default="", metadata=_about("secret with which `forget_user` hashes the keys it forgets", _text)
    )
    history_days: int = field(
        default=365,
        metadata=_about("how long it is kept who changed what; the relay deletes older changes", _number),
    )
    permissions: Mapping[str, str] | Collection[str] = field(
        default=(),
        metadata=_about(
            "labels of other services' permissions, or labels and names; `migrate` adds them", _permissions
        ),
    )
    retention_days: int = field(
        default=7, metadata=_about("how long revisions are kept; the relay deletes older ones", _number)
    )
    subject: str | Collection[str] = field(
        default="pk",
        metadata=_about(
            "field of the user that tokens name it by, or a list of them, the main one first;"
            " `pk` is the primary key",
            _subjects,
        ),
    )


_last: tuple[dict[str, Any], Settings] | None = None
"""What was given when it was looked at last, and was right: it is asked for again and again."""


def current() -> Settings:
    """Raises `ImproperlyConfigured` with everything that is wrong."""
    global _last
    if _last is None or _last[0] != _given():
        if found := list(misfits()):
            raise ImproperlyConfigured("; ".join(misfit.what for misfit in found))
        _last = dict(_given()), Settings(**{name.lower(): value for name, value in _given().items()})
    return _last[1]


def subjects() -> tuple[str, ...]:
    """The fields that name users; also while settings are wrong, for system checks to say so."""
    named = given.get("SUBJECT", "pk") if isinstance(given := getattr(settings, NAME, {}), dict) else "pk"
    if list(_subjects(named)):
        return ("pk",)
    return (named,) if isinstance(named, str) else tuple(named)


def misfits() -> Iterator[Misfit]:
    given = getattr(settings, NAME, {})
    if not isinstance(given, dict):
        yield Misfit(f"{NAME} must be a dictionary, not {given!r}.", f"Write {NAME} = {{…}}.")
        return
    known = {each.name.upper(): each for each in fields(Settings)}
    for name, value in given.items():
        if name in known:
            for mistake in known[name].metadata["mistakes"](value):
                yield Misfit(f"{NAME}[{name!r}]: {mistake}.", f"It says: {known[name].metadata['meaning']}.")
            continue
        close = get_close_matches(str(name).upper(), known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"These are: {', '.join(known)}."
        yield Misfit(f"{NAME}[{name!r}] is no setting.", hint)


def _given() -> dict[str, Any]:
    given: dict[str, Any] = getattr(settings, NAME, {})
    return given
