"""The first administrator comes from the environment, and again and again."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User


def create(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name in ("USERNAME", "EMAIL", "PASSWORD"):
        monkeypatch.delenv(f"DJANGO_SUPERUSER_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(f"DJANGO_SUPERUSER_{name}", value)
    output = StringIO()
    call_command("createsuperuser", "--no-input", "--if-none", stdout=output)
    return output.getvalue()


def test_it_is_made_once(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"USERNAME": "root", "EMAIL": "root@example.org", "PASSWORD": "a long enough one"}
    assert "Superuser created" in create(monkeypatch, **given)
    root = User.objects.get()
    assert (root.is_superuser, root.is_staff, root.check_password("a long enough one")) == (True, True, True)
    assert create(monkeypatch, **given | {"PASSWORD": "another one", "USERNAME": "other"}) == (
        "There is an administrator.\n"
    )
    assert list(User.objects.values_list("username", "password")) == [("root", root.password)]


def test_one_who_is_deactivated_is_none(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.create_superuser("gone", password="a long enough one", is_active=False)
    create(monkeypatch, USERNAME="root", EMAIL="", PASSWORD="a long enough one")
    assert User.objects.filter(is_active=True).count() == 1


def test_without_a_password_nobody_is_made(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="Set DJANGO_SUPERUSER_PASSWORD"):
        create(monkeypatch, USERNAME="root", EMAIL="root@example.org")
    assert not User.objects.exists()
