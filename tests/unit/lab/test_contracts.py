"""Each contract of the architecture is broken on purpose, and found broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

BREACHES = {
    "direction": ("authz_sidecar/core/policy.py", "import authz_sidecar.pipeline"),
    "circles": (
        "authz_sidecar/authn/key_set.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from authz_sidecar.authn import keys",
    ),
    "pure-core": ("authz_sidecar/core/decision.py", "import time"),
    "judge": ("authz_sidecar/verify/checker.py", "from authz_sidecar.core import decision"),
    "product-without-lab": ("authz_sidecar/app.py", "def debug() -> None:\n    import lab.stack"),
    "redis": ("authz_sidecar/replica/near_cache.py", "import redis.asyncio"),
    "aiormq": ("authz_sidecar/replica/replica.py", "import aiormq"),
    "pika": ("authz_sidecar/replica/subscription.py", "import pika"),
    "aiohttp": ("authz_sidecar/proxy/pool.py", "from aiohttp import ClientSession"),
    "httptools": ("authz_sidecar/proxy/upstream.py", "import httptools"),
}
"""What breaks each contract: a file, and what is added to it."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the contracts are about."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", tree)
    for package in ("authz_sidecar", "lab"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return tree


@pytest.fixture
def breach(tree: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """Adds to a file of the copy what the test's parameter says, for as long as the test runs."""
    name, addition = BREACHES[request.param]
    path = tree / name
    before = path.read_text()
    path.write_text(f"{before}\n{addition}\n")
    yield
    path.write_text(before)


def lint(tree: Path, contract: str) -> subprocess.CompletedProcess[str]:
    # The interpreter takes the copy, because the working directory comes first in its path.
    program = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    arguments = ["--no-logo", "--contract", contract]
    return subprocess.run([*program, *arguments], cwd=tree, capture_output=True, text=True, check=False)


def test_every_contract_is_tried() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert [contract["id"] for contract in settings["contracts"]] == list(BREACHES)


@pytest.mark.parametrize(("breach", "contract"), [(name, name) for name in BREACHES], indirect=["breach"])
def test_a_breach_is_found(tree: Path, breach: None, contract: str) -> None:
    found = lint(tree, contract)
    assert found.returncode == 1, found.stdout + found.stderr
    assert "1 broken" in found.stdout


@pytest.mark.parametrize("contract", BREACHES)
def test_without_a_breach_it_holds(tree: Path, contract: str) -> None:
    found = lint(tree, contract)
    assert found.returncode == 0, found.stdout + found.stderr
