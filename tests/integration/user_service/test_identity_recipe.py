"""The recipe of docs/identity.md, as it stands there, in a real Django project."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from pytest_django import Settings

from accounts.models import User

PAGE = Path(__file__).parents[3] / "docs" / "identity.md"
MakeUser = Callable[..., User]


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse("" if isinstance(request.user, AnonymousUser) else request.user.get_username())


urlpatterns = [path("who/", who)]


@pytest.fixture(autouse=True)
def _recipe(settings: Settings) -> Iterator[None]:
    classes, configured = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    module = ModuleType("myproject.identity")
    exec(classes, module.__dict__)  # noqa: S102 (a page of ours)
    said: dict[str, Any] = {}
    exec(configured, said)  # noqa: S102 (likewise)
    settings.MIDDLEWARE = said["MIDDLEWARE"]
    settings.AUTHENTICATION_BACKENDS = said["AUTHENTICATION_BACKENDS"]
    settings.ROOT_URLCONF = __name__
    sys.modules["myproject"], sys.modules["myproject.identity"] = ModuleType("myproject"), module
    yield
    del sys.modules["myproject"], sys.modules["myproject.identity"]


def ask(client: Client, name: str | None) -> str:
    return client.get("/who/", headers={} if name is None else {"X-Authz-Name": name}).content.decode()


def test_who_asks_is_the_user(make_user: MakeUser) -> None:
    make_user("bob")
    make_user("zoë")
    client = Client()
    assert ask(client, None) == ""
    assert ask(client, "bob") == "bob"
    assert ask(client, None) == "bob"  # persistent
    assert ask(client, "zo%C3%AB") == "zoë"
    assert ask(client, "") == ""  # a gateway's word for nobody
    assert ask(client, None) == ""


def test_nobody_is_created(make_user: MakeUser) -> None:
    make_user("bob")
    client = Client()
    assert ask(client, "eve") == ""
    assert ask(client, "bob") == "bob"
    assert ask(client, "eve") == ""
    assert User.objects.filter(username="eve").count() == 0


def test_who_is_deactivated_is_nobody(make_user: MakeUser) -> None:
    make_user("bob", is_active=False)
    assert ask(Client(), "bob") == ""
