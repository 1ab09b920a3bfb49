"""The dictionary AUTHZ_CHANGELOG: defaults, and what is said of what is wrong in it."""

from dataclasses import fields

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from authz_changelog import conf
from authz_changelog.checks import settings_are_known
from lab import ROOT


def test_everything_has_a_default(settings: Settings) -> None:
    del settings.AUTHZ_CHANGELOG
    assert conf.current() == conf.Settings()
    assert settings_are_known() == []


def test_what_is_given_holds(settings: Settings) -> None:
    settings.AUTHZ_CHANGELOG = {"RETENTION_DAYS": 30, "PERMISSIONS": {"a.b": "B"}}
    assert conf.current() == conf.Settings(permissions={"a.b": "B"}, retention_days=30)


@pytest.mark.parametrize(
    ("given", "what", "mend"),
    [
        (None, "AUTHZ_CHANGELOG must be a dictionary, not None", "Write AUTHZ_CHANGELOG = {"),
        ({"RETENTION": 7}, "AUTHZ_CHANGELOG['RETENTION'] is no setting", "Did you mean 'RETENTION_DAYS'?"),
        ({"retention_days": 7}, "is no setting", "Did you mean 'RETENTION_DAYS'?"),
        ({7: 7}, "AUTHZ_CHANGELOG[7] is no setting", "These are: AMQP_URL, AUDIT_SECONDS"),
        ({"RETENTION_DAYS": 0}, "['RETENTION_DAYS']: must be a whole number from 1 up, not 0", "how long"),
        ({"AUDIT_SECONDS": True}, "a whole number from 1 up, not True", "compared"),
        ({"AUDIT_SECONDS": "600"}, "a whole number from 1 up, not '600'", "compared"),
        ({"AMQP_URL": None}, "['AMQP_URL']: must be a text, not None", "broker"),
        ({"PERMISSIONS": "a.b"}, "must be a list of labels", "`migrate` adds them"),
        ({"PERMISSIONS": ["add_student"]}, "'add_student' has no dot", "`migrate` adds them"),
        ({"PERMISSIONS": {"a.b": ""}}, "the name of a.b must be a text", "`migrate` adds them"),
    ],
)
def test_what_is_wrong_is_named_with_its_mend(
    settings: Settings, given: object, what: str, mend: str
) -> None:
    settings.AUTHZ_CHANGELOG = given
    (error,) = settings_are_known()
    assert error.id == "authz_changelog.E006"
    assert what in error.msg
    assert mend in str(error.hint)
    with pytest.raises(ImproperlyConfigured) as refused:
        conf.current()
    assert what in str(refused.value)


def test_all_that_is_wrong_is_told_at_once(settings: Settings) -> None:
    settings.AUTHZ_CHANGELOG = {"RETENTION_DAYS": 0, "X": 1, "PERMISSIONS": ["a", "b"]}
    assert len(settings_are_known()) == 4


def test_the_page_lists_them_as_they_are() -> None:
    page = (ROOT / "docs/user-service.md").read_text()
    for each in fields(conf.Settings):
        default = '""' if each.default == "" else each.default
        assert f"| `{each.name.upper()}` | {each.metadata['meaning']} | `{default}` |" in page
