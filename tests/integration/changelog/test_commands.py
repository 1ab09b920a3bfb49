"""The change log's management commands."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from authz_changelog.models import Head, Revision
from authz_changelog.sidecars import service_tokens


def run(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue().strip()


def test_a_new_service_token_is_valid_until_it_is_revoked(database: str) -> None:
    token = run("new_service_token", "sidecar")
    assert service_tokens.is_valid(token)
    assert run("revoke_service_token", "sidecar") == "1 revoked."
    assert not service_tokens.is_valid(token)
    with pytest.raises(CommandError, match="no valid token of sidecar"):
        run("revoke_service_token", "sidecar")


def test_a_given_token_can_be_accepted_again_and_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "a-token-that-was-made-elsewhere"
    monkeypatch.setenv("TOKEN", token)
    outputs = [run("new_service_token", "sidecar", "--token-from-env", "TOKEN") for _ in range(2)]
    assert service_tokens.is_valid(token)
    assert token not in "".join(outputs)
    run("revoke_service_token", "sidecar")
    with pytest.raises(CommandError, match="TOKEN: this token was revoked"):
        run("new_service_token", "sidecar", "--token-from-env", "TOKEN")


@pytest.mark.parametrize("value", ["", "short"])
def test_a_token_that_is_too_short_is_refused(
    database: str, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("TOKEN", value)
    with pytest.raises(CommandError, match=r"TOKEN: .* at least 20 characters"):
        run("new_service_token", "sidecar", "--token-from-env", "TOKEN")


def test_reconcile_finds_nothing(database: str) -> None:
    User.objects.create(username="ann")
    assert run("reconcile") == "0 differences."


def test_new_epoch(database: str) -> None:
    User.objects.create(username="ann")
    before = Head.objects.get()
    assert run("new_epoch").endswith(f"begins at revision {before.revision}.")
    assert Head.objects.get().epoch != before.epoch


def test_prune_keeps_what_is_younger_than_the_retention(database: str) -> None:
    User.objects.create(username="ann")
    assert run("prune_revisions") == "0 revisions deleted."
    Revision.objects.update(at="2001-01-01T00:00:00Z")
    assert run("prune_revisions") == "1 revisions deleted."


def test_install_triggers(database: str) -> None:
    assert run("install_triggers") == "All triggers are installed."
