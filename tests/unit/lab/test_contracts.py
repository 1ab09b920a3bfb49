"""Each contract of the architecture is broken on purpose, and found broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

SIDECAR = {
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
USER_SERVICE = {
    "apps": ("user_service/authz_changelog/clock.py", "import accounts.models"),
    "doors": (
        "user_service/authz_changelog/marks/triggers.py",
        "from authz_changelog.publishing import relay",
    ),
    "circles": ("user_service/authz_changelog/models.py", "from authz_changelog import admin"),
    "services": ("user_service/accounts/models.py", "import authz_sidecar.core.entities"),
    "pika": ("user_service/authz_tokens/views.py", "import pika"),
}
STUDENT_SERVICE = {"unmodified": ("student_service/students/views.py", "import jwt")}
BREACHES = [
    (configuration, contract, *breach)
    for configuration, breaches in (
        ("pyproject.toml", SIDECAR),
        ("user_service/.importlinter", USER_SERVICE),
        ("student_service/.importlinter", STUDENT_SERVICE),
    )
    for contract, breach in breaches.items()
]
"""What breaks each contract: a file, and what is added to it."""
CONTRACTS = [(configuration, contract) for configuration, contract, *_ in BREACHES]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the contracts are about."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", tree)
    for package in ("authz_sidecar", "lab", "user_service", "student_service"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return tree


def lint(tree: Path, configuration: str, *contracts: str) -> subprocess.CompletedProcess[str]:
    # The interpreter takes the copy, because the working directory comes first in its path.
    program = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    chosen = [argument for contract in contracts for argument in ("--contract", contract)]
    arguments = ["--no-logo", "--config", configuration, *chosen]
    service = tree / Path(configuration).parent
    return subprocess.run(
        [*program, *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(service)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_contract_is_tried() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contracts = [("pyproject.toml", contract["id"]) for contract in settings["contracts"]]
    for service in ("user_service", "student_service"):
        parser = ConfigParser()
        parser.read(ROOT / service / ".importlinter")
        contracts += [
            (f"{service}/.importlinter", name.split(":")[2])
            for name in parser.sections()
            if name.startswith("importlinter:contract:")
        ]
    assert contracts == CONTRACTS


@pytest.mark.parametrize(("configuration", "contract", "name", "addition"), BREACHES)
def test_a_breach_is_found(tree: Path, configuration: str, contract: str, name: str, addition: str) -> None:
    path = tree / name
    before = path.read_text()
    path.write_text(f"{before}\n{addition}\n")
    found = lint(tree, configuration, contract)
    path.write_text(before)
    assert found.returncode == 1, found.stdout + found.stderr
    assert "1 broken" in found.stdout


@pytest.mark.parametrize("configuration", sorted({configuration for configuration, _ in CONTRACTS}))
def test_without_a_breach_all_hold(tree: Path, configuration: str) -> None:
    found = lint(tree, configuration)
    assert found.returncode == 0, found.stdout + found.stderr


TYPED = {
    ".": ("authz_sidecar/core/target.py", "lab/walk.py"),
    "user_service": ("authz_changelog/clock.py",),
    "student_service": ("students/urls.py",),
}
"""Where mypy runs, with its configuration there, and files that a function without types is added to."""


@pytest.mark.parametrize(
    ("where", "name"), [(where, name) for where, names in TYPED.items() for name in names]
)
def test_a_function_without_types_is_found(tree: Path, where: str, name: str) -> None:
    path = tree / where / name
    before = path.read_text()
    path.write_text(f"{before}\n\ndef untyped(a):\n    return a\n")
    program = [sys.executable, "-m", "mypy", "--no-incremental", "--follow-imports", "silent", name]
    found = subprocess.run(program, cwd=tree / where, capture_output=True, text=True, check=False)
    path.write_text(before)
    assert found.returncode == 1, found.stdout + found.stderr
    assert "[no-untyped-def]" in found.stdout
