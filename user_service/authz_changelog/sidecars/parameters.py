"""Reads the parameters of the sidecars' API. Each function raises `Malformed`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest, QueryDict
from django.utils.dateparse import parse_datetime

from authz_changelog.sidecars.problems import Malformed

BIGGEST = 2**63 - 1


def integer(query: QueryDict, name: str, low: int, high: int, default: int | None = None) -> int:
    text = query.get(name)
    if text is None and default is not None:
        return default
    wanted = f"a whole number from {low} to {high}"
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise Malformed(name, wanted)
    if not low <= int(text) <= high:
        raise Malformed(name, wanted)
    return int(text)


def epoch(query: QueryDict) -> UUID:
    try:
        return UUID(query.get("epoch", ""))
    except ValueError:
        raise Malformed("epoch", "the UUID that `head` and `snapshot` give") from None


def instant(query: QueryDict) -> datetime | None:
    text = query.get("at")
    if text is None:
        return None
    try:
        at = parse_datetime(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Malformed(
            "at", "the `at` that revision `after` was sent with, e.g. 2026-11-22T09:00:00.120000Z"
        )
    return at


def question(request: HttpRequest) -> tuple[str, str | None, int | None]:
    """Subject, permission and token generation of a `check`."""
    try:
        body: Any = json.loads(request.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Malformed("body", 'a JSON object like {"sub": "17", "permission": "students.change_student"}')
    sub, permission, generation = body.get("sub"), body.get("permission"), body.get("token_generation")
    if not isinstance(sub, str) or not sub:
        raise Malformed("sub", "the subject, a string that is not empty")
    if "permission" not in body or not (permission is None or isinstance(permission, str)):
        raise Malformed("permission", 'a label such as "students.change_student", or null to ask for none')
    if generation is not None and (type(generation) is not int or not 0 <= generation <= BIGGEST):
        raise Malformed("token_generation", "a whole number, or nothing")
    return sub, permission, generation
