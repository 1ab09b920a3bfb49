"""A setting is written once: from that line come the field, its value and what is said of it."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from authz_sidecar.config.parsers import count
from authz_sidecar.config.setting import fill, group, setting, settings_of


@group
class Inner:
    limit: int = setting("AUTHZ_LIMIT", count(1), "how many", default="7")
    constant: int = 3


@group
class Outer:
    name: str = setting("AUTHZ_NAME", str, "what it is called", secret=True)
    inner: Inner
    note: str | None = setting("AUTHZ_NOTE", str, "what else is to be said", default=None)
    title: str = setting("AUTHZ_TITLE", str, "what is shown", default_from=lambda v: v["AUTHZ_NAME"].title())


def test_settings_come_in_the_order_they_are_written() -> None:
    names = ["AUTHZ_NAME", "AUTHZ_LIMIT", "AUTHZ_NOTE", "AUTHZ_TITLE"]
    assert [each.variable for each in settings_of(Outer)] == names
    assert [each.required for each in settings_of(Outer)] == [True, False, False, False]
    assert next(settings_of(Inner)).flag == "--limit"


def test_a_group_is_filled_with_the_groups_in_it() -> None:
    values = {"AUTHZ_NAME": "n", "AUTHZ_LIMIT": 9, "AUTHZ_NOTE": None, "AUTHZ_TITLE": "N"}
    filled = fill(Outer, values)
    assert filled == Outer(name="n", inner=Inner(limit=9), note=None, title="N")
    assert filled.inner.constant == 3


def test_defaults_are_parsed_and_what_has_none_must_be_given() -> None:
    assert Inner().limit == 7
    with pytest.raises(TypeError, match="name"):
        Outer(inner=Inner(), title="t")  # type: ignore[call-arg]  # the type checker says so, too


def test_a_secret_is_not_shown() -> None:
    assert "hidden" not in repr(Outer(name="hidden", inner=Inner(), title="t"))


def test_types_are_those_of_the_fields() -> None:
    assert get_type_hints(Outer)["inner"] is Inner
