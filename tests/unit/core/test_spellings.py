"""Placeholders as other frameworks write them: refused, and answered with the spelling that is right here."""

from __future__ import annotations

import pytest

from authz_sidecar.core.pattern import path_mistakes


@pytest.mark.parametrize(
    ("foreign", "right"),
    [
        ("/students/<pk>/", "/students/{pk}/"),
        ("/students/<int:pk>/", "/students/{pk:int}/"),
        ("/students/<str:name>/", "/students/{name}/"),
        ("/students/<uuid:id>/", "/students/{id:uuid}/"),
        ("/students/<uuid:id>/notes/<int:n>/", "/students/{id:uuid}/notes/{n:int}/"),
        ("/students/<slug:name>/notes/", "/students/{name}/notes/"),
        ("/files/<path:rest>", "/files/{rest:path}"),
        ("/students/:id", "/students/{id}"),
        ("/students/:id/notes/:note", "/students/{id}/notes/{note}"),
        ("/students/:id?", "/students/{id}"),
        (r"/students/:id(\d+)/", "/students/{id:int}/"),
        ("/files/:rest*", "/files/{rest:path}"),
        ("/files/*rest", "/files/{rest:path}"),
        ("/files/*", "/files/{rest:path}"),
        ("/files/**", "/files/{rest:path}"),
        ("/files/*/notes", "/files/{name}/notes"),
        ("/students/[id]", "/students/{id}"),
        ("/files/[...rest]", "/files/{rest:path}"),
        (r"/students/(?P<pk>\d+)/", "/students/{pk:int}/"),
        ("/students/(?P<pk>[0-9]+)/", "/students/{pk:int}/"),
        (r"/students/(?P<slug>[\w-]+)/", "/students/{slug}/"),
        ("/files/(?P<rest>.*)", "/files/{rest:path}"),
        (r"^/students/(?P<pk>\d+)/$", "/students/{pk:int}/"),
        (r"^students/(?P<pk>\d+)/$", "/students/{pk:int}/"),
        ("students/<int:pk>/", "/students/{pk:int}/"),
        ("/students/{id:UUID}/", "/students/{id:uuid}/"),
        ("/students/{id:guid}/", "/students/{id:uuid}/"),
        ("/students/{uuid:id}/", "/students/{id:uuid}/"),
        ("/students/{id:str}/", "/students/{id}/"),
        ("/students/{id:integer}/", "/students/{id:int}/"),
        (r"/students/{id:\d+}/", "/students/{id:int}/"),
        ("/students/{id:[0-9]+}/", "/students/{id:int}/"),
        ("/files/{rest:.*}", "/files/{rest:path}"),
        ("/files/{rest...}", "/files/{rest:path}"),
        ("/files/{rest+}", "/files/{rest:path}"),
        ("/files/{*rest}", "/files/{rest:path}"),
        ("/students/{int:pk}/", "/students/{pk:int}/"),
        ("/students/${id}/", "/students/{id}/"),
        ("/students/{{id}}/", "/students/{id}/"),
        (r"/students/\d+/", "/students/{id:int}/"),
        (r"^/students/(\d+)/$", "/students/{id:int}/"),
        ("/students/[0-9]+", "/students/{id:int}"),
        ("/students/[0-9]+/notes/[0-9]{1,3}", "/students/{id:int}/notes/{id2:int}"),
        ("/students/[^/]+/", "/students/{name}/"),
        ("/students/([^/]+)/notes", "/students/{name}/notes"),
        (r"/students/[\w-]+/", "/students/{name}/"),
        ("/files/.*", "/files/{rest:path}"),
        ("^/files/(.*)$", "/files/{rest:path}"),
    ],
)
def test_a_foreign_placeholder_is_answered_with_ours(foreign: str, right: str) -> None:
    (mistake,) = path_mistakes(foreign)
    assert f"write {right}" in mistake
    assert path_mistakes(right) == []


@pytest.mark.parametrize("path", ["/a|b/", "/(a|b)/", "/a[0-9]/", "/a/b$", "/^a", "/[abc"])
def test_a_regular_expression_is_no_literal_text(path: str) -> None:
    (mistake,) = path_mistakes(path)
    assert "regular expressions" in mistake


@pytest.mark.parametrize("path", ["/$metadata", "/Products(1)", "/c++/", "/@me/", "/it's/"])
def test_what_a_path_may_have_is_literal_text(path: str) -> None:
    assert path_mistakes(path) == []


@pytest.mark.parametrize("path", ["/a:b/", "/v1/things:move", "/$metadata", "/Products(1)", "/@me/", "/a*b"])
def test_what_only_looks_a_little_like_one_is_not_rewritten(path: str) -> None:
    assert not any("write /" in mistake for mistake in path_mistakes(path))
