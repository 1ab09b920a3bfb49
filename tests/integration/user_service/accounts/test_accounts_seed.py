"""The demo's users: made once, whatever happened in between."""

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User


def state() -> list[object]:
    users = User.objects.order_by("pk").prefetch_related("groups")
    return [(u.username, u.password, u.is_superuser, u.token_generation, u.groups.count()) for u in users]


def test_it_can_be_repeated(
    db: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEMO_PASSWORD", "a demo password")
    call_command("seed_demo")
    before = state()
    call_command("seed_demo")
    assert state() == before
    assert capsys.readouterr() == ("", "")


def test_who_there_is(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_PASSWORD", "a demo password")
    call_command("seed_demo")
    users = {user.username: user for user in User.objects.all()}
    assert users["admin"].is_superuser
    assert all(user.check_password("a demo password") for user in users.values())
    assert {name: sorted(user.get_all_permissions()) for name, user in users.items() if name != "admin"} == {
        "alice": [],
        "bob": ["students.add_student", "students.change_student"],
        "carol": ["students.view_student"],
    }


def test_no_password_is_made_up(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEMO_PASSWORD", raising=False)
    with pytest.raises(CommandError, match="DEMO_PASSWORD"):
        call_command("seed_demo")
    assert not User.objects.exists()
