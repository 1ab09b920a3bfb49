"""What validation finds wrong, in words of the policy file's author."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_LABEL = "must be a permission label like students.add_student"
_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "model_type": "must be a mapping (key: value)",
        "dict_type": "must be a mapping (key: value)",
        "list_type": "must be a list: [one, two]",
        "too_short": "must not be empty",
        "string_type": "must be text; put it in quotes",
        "string_too_short": "must not be empty",
        "bool_type": "must be true or false",
        "int_type": "must be a whole number",
        "float_type": "must be a number",
        "string_pattern_mismatch": _LABEL,
    }
)
"""By the kinds of errors that pydantic has."""
_LEEWAY = "must be a number of seconds from 0 to 300"
_KEYS_AGE = "must be a number of seconds from 60 to 604800"
_SECONDS = "must be a number of seconds from 0.1 to 86400"
_KEYS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("greater_than_equal", "max_staleness"): _SECONDS,
        ("less_than_equal", "max_staleness"): _SECONDS,
        ("greater_than_equal", "leeway"): _LEEWAY,
        ("less_than_equal", "leeway"): _LEEWAY,
        ("greater_than_equal", "keys_max_age"): _KEYS_AGE,
        ("less_than_equal", "keys_max_age"): _KEYS_AGE,
    }
)
"""By kind and key."""


def message(error: Mapping[str, Any]) -> str:
    """One line on one entry of `ValidationError.errors()`."""
    kind, place = error["type"], error["loc"]
    if place == ("version",) and kind != "missing":
        return "must be 1"
    if kind == "extra_forbidden":
        return f"{place[-1]!r} is not known here; remove it or mend its spelling"
    if kind == "missing":
        return f"{place[-1]!r} is missing"
    if kind == "literal_error":
        return f"must be {error['ctx']['expected']}"
    if kind == "string_too_long":
        return f"must have at most {error['ctx']['max_length']} characters"
    known = _KEYS.get((kind, str(place[-1]) if place else "")) or _KINDS.get(kind)
    if known is not None:
        return "must be a scope without spaces and quotes" if known is _LABEL and "scope" in place else known
    return str(error["msg"]).removeprefix("Value error, ")
