"""System checks: each misfit of a project is named with its mend."""

import pytest
from django.core.management import get_commands
from pytest_django import Settings

from authz_changelog import checks


class Elsewhere:
    """A router that keeps users apart."""

    def db_for_write(self, model: type, **_: object) -> str | None:
        return "people" if model.__name__ == "User" else None


def test_our_own_project_has_none() -> None:
    found = [check() for check in (checks.all_is_in_one_database, checks.instants_have_a_zone)]
    found += [checks.sidecars_find_their_pages(), checks.commands_are_ours(), checks.settings_are_known()]
    assert found == [[]] * 5


def test_users_in_another_database(settings: Settings) -> None:
    settings.DATABASE_ROUTERS = [Elsewhere()]
    (error,) = checks.all_is_in_one_database()
    assert (error.id, "accounts.User to another database" in error.msg) == ("authz_changelog.E007", True)
    assert "together in 'default'" in str(error.hint)


def test_instants_without_a_zone(settings: Settings) -> None:
    settings.USE_TZ = False
    (error,) = checks.instants_have_a_zone()
    assert (error.id, error.hint) == (
        "authz_changelog.E008",
        "Set USE_TZ = True: revisions are told by instants.",
    )


@pytest.mark.parametrize(("urls", "found"), [("nothing", "nowhere"), ("elsewhere", "/sidecars/head")])
def test_pages_that_sidecars_do_not_find(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, urls: str, found: str
) -> None:
    import sys
    from types import ModuleType

    from django.urls import include, path

    module = ModuleType(urls)
    module.urlpatterns = [] if urls == "nothing" else [path("sidecars/", include("authz_changelog.urls"))]
    monkeypatch.setitem(sys.modules, urls, module)
    settings.ROOT_URLCONF = urls
    (warning,) = checks.sidecars_find_their_pages()
    assert (warning.id, warning.msg) == (
        "authz_changelog.W002",
        f"Sidecars ask /authz/v1/head; it is {found}.",
    )
    assert 'path("authz/v1/", include("authz_changelog.urls"))' in str(warning.hint)


def test_commands_that_another_app_has_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {**get_commands(), "remove_stale_contenttypes": "django.contrib.contenttypes"}
    monkeypatch.setattr(checks, "get_commands", lambda: theirs)
    (warning,) = checks.commands_are_ours()
    assert warning.id == "authz_changelog.W003"
    assert "`manage.py remove_stale_contenttypes`" in warning.msg
    assert 'Put "authz_changelog" first' in str(warning.hint)
