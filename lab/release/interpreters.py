"""The Pythons of this machine for which the sidecar is compiled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab.release.distributions import SIDECAR

FIT = "import sys, ensurepip, sysconfig; print('%d.%d' % sys.version_info[:2], sysconfig.get_path('include'))"
MARK = "Programming Language :: Python :: "


def supported() -> list[str]:
    """The versions that the sidecar's metadata name, like 3.11."""
    classifiers: list[str] = SIDECAR.project["project"]["classifiers"]
    named = [each.removeprefix(MARK) for each in classifiers if each.startswith(MARK)]
    return [each for each in named if each[:2] == "3." and each[2:].isdigit()]


def at_hand() -> dict[str, str]:
    """A Python of each supported version, the first on PATH or else of pyenv, which can make environments."""
    found: dict[str, str] = {}
    for path in _candidates():
        version = _version(path)
        if version in supported():
            found.setdefault(version, path)
    return dict(sorted(found.items()))


def _candidates() -> Iterator[str]:
    names = [f"python{version}" for version in supported()]
    for folder in os.get_exec_path():
        yield from (str(Path(folder, name)) for name in names if Path(folder, name).exists())
    managed = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (str(path) for name in names for path in managed.glob(f"versions/*/bin/{name}"))


def _version(python: str) -> str:
    """Of an interpreter that has the headers which compiling needs; nothing if it has not, or is none."""
    try:
        said = subprocess.run([python, "-c", FIT], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):  # a shim of pyenv that leads nowhere is an error, too
        return ""
    version, _, headers = said.strip().partition(" ")
    return version if Path(headers, "Python.h").exists() else ""
