"""Installs the sidecar as its image has it, compiled, into `build/compiled/`.

    .venv/bin/python -m lab.setup.compiled

What is there and up to date is left alone. Whatever runs with that directory first in PYTHONPATH runs the
compiled sidecar.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

from lab import ROOT
from lab.setup.bootstrap import install_packages, run, step

COMPILED = ROOT / "build" / "compiled"
STAMP = COMPILED / "made-of"
SOURCES = ("setup.py", "pyproject.toml", "constraints.txt", "README.md", "LICENSE")


def main() -> int:
    digest = _digest()
    if STAMP.exists() and STAMP.read_text() == digest:
        return 0
    try:
        ensure_compiler()
        with step("compiling the sidecar"), TemporaryDirectory(prefix="compile-") as directory:
            _compile(Path(directory))
    except subprocess.CalledProcessError as error:
        print(f"gcc and Python's headers are needed. It failed with:\n{error.output}", file=sys.stderr)
        return 1
    STAMP.write_text(digest)
    return 0


def ensure_compiler() -> None:
    """Where we may: elsewhere the build says what it lacks."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    missing = [] if shutil.which("gcc") else ["gcc", "libc6-dev"]
    missing += [] if headers.exists() else ["python3-dev"]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        install_packages(missing)


def _compile(workplace: Path) -> None:
    """From a copy: a build leaves files behind, and would take up those of the one before."""
    for name in SOURCES:
        shutil.copy(ROOT / name, workplace)
    shutil.copytree(
        ROOT / "authz_sidecar", workplace / "authz_sidecar", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.rmtree(COMPILED, ignore_errors=True)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(COMPILED)]
    run([sys.executable, "-m", "pip", "install", *options, workplace], {"AUTHZ_COMPILE": "1"})


def _digest() -> str:
    """Of all that the build is made of, and for which Python."""
    paths = [ROOT / name for name in SOURCES]
    paths += sorted(path for path in (ROOT / "authz_sidecar").rglob("*") if path.is_file())
    total = hashlib.sha256(sys.version.encode())
    for path in paths:
        if "__pycache__" not in path.parts:
            total.update(b"%s\0%s\0" % (os.fsencode(path.relative_to(ROOT)), path.read_bytes()))
    return total.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
