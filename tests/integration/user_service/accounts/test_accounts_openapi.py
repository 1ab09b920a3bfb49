"""The OpenAPI document is valid, complete and has a page that needs no other server."""

import json
from io import StringIO

import yaml
from django.core.management import call_command
from rest_framework.test import APIClient


def document() -> dict:
    out = StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=out)
    return yaml.safe_load(out.getvalue())


def test_it_is_valid_without_warnings_and_complete() -> None:
    paths = document()["paths"]
    assert {
        "/api/token/",
        "/api/token/refresh/",
        "/api/users/{id}/sign-out-everywhere/",
        "/api/users/{id}/permissions/{label}/",
        "/api/users/{id}/groups/{group_id}/",
        "/api/groups/{id}/permissions/",
        "/api/permissions/",
    } <= set(paths)


def test_passwords_are_written_never_read() -> None:
    schemas = document()["components"]["schemas"]
    assert "password" in schemas["UserRequest"]["properties"]
    assert "password" not in schemas["User"]["properties"]


def test_it_names_the_bearer_scheme() -> None:
    scheme = document()["components"]["securitySchemes"]["bearer"]
    assert scheme == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def test_it_is_served_with_a_page(anybody: APIClient) -> None:
    assert json.loads(anybody.get("/api/schema/?format=json").content)["openapi"].startswith("3.")
    page = anybody.get("/api/docs/").content.decode()
    assert "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js" in page
    assert "cdn" not in page


def test_the_api_is_browsable(as_admin: APIClient) -> None:
    for path in ("/api/", "/api/users/", "/api/groups/", "/api/permissions/", "/api/token/"):
        answer = as_admin.get(path, headers={"accept": "text/html"})
        assert answer["Content-Type"].startswith("text/html")


def test_health(anybody: APIClient) -> None:
    assert anybody.get("/livez").status_code == 200
    ready = anybody.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"checks": {"database": True, "signing_key": True}})
