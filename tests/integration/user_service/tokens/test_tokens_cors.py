"""Scripts of the origins that are named may sign in, and no others."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

APP = "https://app.example.org"
PATH = "/api/token/"


@pytest.fixture(autouse=True)
def _origins(settings: Settings) -> None:
    settings.AUTH_CORS_ORIGINS = [APP]


@pytest.mark.django_db
@pytest.mark.parametrize("path", [PATH, f"{PATH}refresh/", f"{PATH}revoke/"])
def test_an_origin_that_is_named_may_call_and_read(path: str) -> None:
    asks = {"Origin": APP, "Access-Control-Request-Method": "POST"}
    preflight = Client().options(path, headers=asks)
    assert preflight.status_code == 204
    assert preflight["Access-Control-Allow-Origin"] == APP
    assert preflight["Access-Control-Allow-Headers"] == "content-type"
    refused = Client().post(path, {}, content_type="application/json", headers={"Origin": APP})
    assert refused.status_code == 400
    assert refused["Access-Control-Allow-Origin"] == APP
    assert "Access-Control-Allow-Credentials" not in refused


@pytest.mark.django_db
@pytest.mark.parametrize("origin", ["https://evil.example", f"{APP}.evil.example", "null", "*", ""])
def test_no_other_origin_may(origin: str) -> None:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for answer in (
        Client().options(PATH, headers=asks),
        Client().post(PATH, {}, content_type="application/json", headers={"Origin": origin}),
    ):
        assert "Access-Control-Allow-Origin" not in answer
        assert "Origin" in answer["Vary"]


@pytest.mark.django_db
def test_nothing_but_the_token_api_is_called_from_elsewhere(settings: Settings) -> None:
    assert "Access-Control-Allow-Origin" not in Client().get("/api/users/", headers={"Origin": APP})
    settings.AUTH_CORS_ORIGINS = []
    assert "Access-Control-Allow-Origin" not in Client().post(PATH, headers={"Origin": APP})
