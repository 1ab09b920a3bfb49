"""Policies that suit a test better than the shipped one."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.stack.services import POLICY


@pytest.fixture(scope="session")
def permissive_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped rules, and whatever none of them governs is left to the service to refuse."""
    rest = "  - methods: [POST, PUT, PATCH, DELETE]\n    path: /{rest:path}\n    allow: anyone\n"
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    rules, tests, expected = POLICY.read_text().partition("# What the rules are to mean")
    path.write_text(rules + rest + tests + expected)
    return path
