"""An explanation in lines for people."""

from __future__ import annotations

from typing import Any

import pytest

from authz_sidecar.explained import worded

FOUND: dict[str, Any] = {
    "method": "PATCH",
    "target": "/students/3/",
    "subject": "17",
    "allowed": False,
    "status": 403,
    "code": "permission_denied",
    "detail": "this needs students.change_student",
    "enforced": True,
    "rule": None,
    "closest": [],
    "revision": "3f2a9c1b.42",
    "staleness": 0.25,
    "policy": "a58c",
    "mend": "",
}
CHANGE = {
    "revision": "3f2a9c1b.41",
    "at": "2026-11-26T09:00:00Z",
    "text": "- group editors for alice, revision 41",
    "before": "granted",
}


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        ({}, ["  revision  3f2a9c1b.42, proved 0.2 s ago"]),
        ({"staleness": None, "code": "token_epoch"}, ["  revision  3f2a9c1b.42"]),
        ({"staleness": None, "as_of": "2026-11-26"}, ["  revision  3f2a9c1b.42 of 2026-11-26"]),
        (
            {"last_change": CHANGE},
            [
                "  revision  3f2a9c1b.42, proved 0.2 s ago",
                "  changed   - group editors for alice, revision 41: before, granted",
            ],
        ),
        (
            {"last_change": {**CHANGE, "before": None}},
            [
                "  revision  3f2a9c1b.42, proved 0.2 s ago",
                "  changed   - group editors for alice, revision 41: perhaps, as it is not told of whom",
            ],
        ),
        (
            {"last_change": {**CHANGE, "text": None}, "staleness": None, "as_of": "now"},
            [
                "  revision  3f2a9c1b.42 of now",
                "  changed   by 3f2a9c1b.41 at 2026-11-26T09:00:00Z: before, granted",
            ],
        ),
        (
            {"last_change": None, "history": "is not kept by the User service"},
            ["  revision  3f2a9c1b.42, proved 0.2 s ago", "  history   is not kept by the User service"],
        ),
        ({"revision": None}, []),
    ],
)
def test_where_it_stands_and_what_made_it_so(more: dict[str, Any], lines: list[str]) -> None:
    said = worded({**FOUND, **more})
    assert said[3:-1] == lines
