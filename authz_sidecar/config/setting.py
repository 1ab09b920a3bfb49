"""How a setting is written: once, as a field of a frozen dataclass, with everything that is to be said of it.

    leeway: float = setting("AUTHZ_JWT_LEEWAY", seconds(0, 300), "seconds clocks may differ", default="5")

The type checker reads from this line that the field is a float, and that the parser makes one; the command
line, the documentation and `config.reading` read the rest. `config.table` has all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform, get_type_hints, overload

T = TypeVar("T")
Values = Mapping[str, Any]
"""Parsed values by variable."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. Its flag follows from its variable."""

    variable: str
    parse: Callable[[str], Any]
    help: str
    default: str | None
    """Text as a user would write it; `None` is unset."""
    required: bool
    secret: bool
    """May also be read from the file that `<variable>_FILE` names; never shown."""
    empty_counts: bool
    """An empty value means something of its own. Elsewhere it is the same as unset."""
    default_from: Callable[[Values], Any] | None
    """What it is while unset, found from other settings."""

    @property
    def flag(self) -> str:
        return "--" + self.variable.removeprefix("AUTHZ_").lower().replace("_", "-")


@overload
def setting(
    variable: str, parse: Callable[[str], T], help: str, *, default: str, empty_counts: bool = False
) -> T: ...
@overload
def setting(
    variable: str, parse: Callable[[str], T], help: str, *, default: None, secret: bool = False
) -> T | None: ...
@overload
def setting(
    variable: str, parse: Callable[[str], T], help: str, *, default_from: Callable[[Values], T]
) -> T: ...
@overload
def setting(variable: str, parse: Callable[[str], T], help: str, *, secret: bool = False) -> T: ...
def setting(
    variable: str,
    parse: Callable[[str], Any],
    help: str,
    *,
    default: Any = dataclasses.MISSING,
    default_from: Callable[[Values], Any] | None = None,
    secret: bool = False,
    empty_counts: bool = False,
) -> Any:
    """A field that this setting fills; required when it has no default. `help` begins in lower case."""
    missing = default is dataclasses.MISSING
    described = Setting(
        variable=variable,
        parse=parse,
        help=help,
        default=None if missing else default,
        required=missing and default_from is None,
        secret=secret,
        empty_counts=empty_counts,
        default_from=default_from,
    )
    value = default if missing or default is None else parse(default)
    return dataclasses.field(default=value, repr=not secret, metadata={"setting": described})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(setting,))
def group(cls: type[T]) -> type[T]:
    """Settings that belong together. Fields are settings, other groups, or constants."""
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


def settings_of(cls: type[Any]) -> Iterator[Setting]:
    """The settings of a group and of the groups in it, in the order in which they are written."""
    types = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if (described := field.metadata.get("setting")) is not None:
            yield described
        elif dataclasses.is_dataclass(types[field.name]):
            yield from settings_of(types[field.name])


def fill(cls: type[T], values: Values) -> T:
    """A group, and the groups in it, from the values of all their settings."""
    types, filled = get_type_hints(cls), {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # groups are dataclasses
        if (described := field.metadata.get("setting")) is not None:
            filled[field.name] = values[described.variable]
        elif dataclasses.is_dataclass(types[field.name]):
            filled[field.name] = fill(types[field.name], values)
    return cls(**filled)
