"""Settings from the environment: good values, and errors that name the variable."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("1", True), ("True", True), (" on ", True), ("0", False), ("off", False), ("", False)],
)
def test_flags(monkeypatch: pytest.MonkeyPatch, value: str, wanted: bool) -> None:
    monkeypatch.setenv("DJANGO_DEBUG", value)
    assert env.flag("DJANGO_DEBUG") is wanted


@pytest.mark.parametrize("value", ["maybe", "2", "on off"])
def test_a_flag_that_says_neither_names_its_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DJANGO_DEBUG", value)
    with pytest.raises(ImproperlyConfigured, match="DJANGO_DEBUG must be one of"):
        env.flag("DJANGO_DEBUG")


@pytest.mark.parametrize("value", ["five", "-1", "0", "1.5", "٣"])
def test_a_bad_number_names_its_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AUTH_ACCESS_TOKEN_SECONDS", value)
    with pytest.raises(
        ImproperlyConfigured, match="AUTH_ACCESS_TOKEN_SECONDS must be a whole number from 1 up"
    ):
        env.number("AUTH_ACCESS_TOKEN_SECONDS", 300, least=1)


def test_words_are_trimmed_and_empty_ones_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_AUDIENCES", " a ,, b,")
    assert env.words("AUTH_AUDIENCES", "") == ["a", "b"]
