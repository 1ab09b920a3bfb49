"""Which operations of a service no rule lets through, from OpenAPI and Swagger documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from authz_sidecar.commands.openapi import operations, refused
from authz_sidecar.core import policy
from authz_sidecar.core.errors import MalformedMessage
from authz_sidecar.core.policy import RuleSource
from authz_sidecar.core.verdicts import Requirement

ANYONE = Requirement("anyone")
RULES = policy.compile(
    [
        RuleSource("1", ("POST",), "/students/", ANYONE),
        RuleSource("2", ("PATCH",), "/students/{id:int}/", ANYONE),
        RuleSource("3", ("DELETE",), "/v1/students/{id}/", ANYONE),
        RuleSource("4", ("PUT",), "/students/x/", ANYONE),
        RuleSource("5", ("PATCH",), "/keys/{id:uuid}/", ANYONE),
    ]
)
ID = {"name": "id", "in": "path", "schema": {"type": "integer"}}
UNIQUE = {"name": "id", "in": "path", "schema": {"type": "string", "format": "uuid"}}
NAMED = {"name": "id", "in": "path", "schema": {"type": "string"}}


def document(path: str, methods: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"openapi": "3.1.0", "paths": {path: methods}, **rest}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (document("/students/", {"post": {}, "get": {}, "options": {}, "summary": "x"}), []),
        (document("/teachers/", {"get": {}, "head": {}}), []),
        (document("/teachers/", {"post": {}}), ["POST /teachers/ falls under no rule"]),
        (document("/students/{id}/", {"patch": {"parameters": [ID]}}), []),
        (document("/students/{id}/", {"patch": {}, "parameters": [ID]}), []),
        (
            document("/students/{id}/", {"patch": {"parameters": [NAMED]}}),
            ["PATCH /students/{id}/ falls under PATCH /students/{id:int}/ only where"],
        ),
        (document("/keys/{id}/", {"patch": {"parameters": [UNIQUE]}}), []),
        (
            document("/keys/{id}/", {"patch": {}}),
            ["PATCH /keys/{id}/ falls under PATCH /keys/{id:uuid}/ only where its parameters are UUIDs"],
        ),
        (document("/students/{id}/", {"put": {}}), ["PUT /students/{id}/ falls under no rule"]),
        (document("/students/{id}/", {"delete": {}}, servers=[{"url": "https://api.example.org/v1/"}]), []),
        (
            document(
                "/students/{id}/",
                {"delete": {}},
                servers=[{"url": "/{version}", "variables": {"version": {"default": "v1"}}}],
            ),
            [],
        ),
        (document("/students/{id}/", {"delete": {}}), ["DELETE /students/{id}/ falls under no rule"]),
        ({"swagger": "2.0", "basePath": "/v1", "paths": {"/students/{id}/": {"delete": {}}}}, []),
        (
            {
                "swagger": "2.0",
                "paths": {
                    "/students/{id}/": {"patch": {"parameters": [{"$ref": "#/parameters/id"}]}},
                },
                "parameters": {"id": {"name": "id", "in": "path", "type": "integer"}},
            },
            [],
        ),
        (
            document(
                "/a/",
                {"$ref": "#/components/pathItems/a~1b"},
                components={"pathItems": {"a/b": {"post": {}}}},
            ),
            ["POST /a/ falls under no rule"],
        ),
        (document("/a/", {"$ref": "#/paths/~1a~1"}), []),
        (document("/a/", {"$ref": "other.yaml"}), []),
        (document("/a/", None), []),  # type: ignore[arg-type]  # as wrong as a file may be
    ],
)
@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
def test_what_no_rule_lets_through(given: Any, found: list[str], write: Any) -> None:
    told = [str(each) for each in refused(RULES, operations(write(given).encode()), "api.json")]
    assert len(told) == len(found)
    for line, beginning in zip(told, found, strict=True):
        assert line.startswith(f"api.json: {beginning}")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"a: [", b"\xff\xfe", b'{"paths": 3}', b"<html>"])
def test_what_is_no_openapi_document_is_told_so(content: bytes) -> None:
    with pytest.raises(MalformedMessage, match=r"^is n"):
        operations(content)
