"""The change log under Django 6, on each Python at hand that Django 6 wants."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import ROOT
from lab.release import interpreters

PROJECT = Path(__file__).with_name("user_models")
SERVICE = ROOT / "user_service"
NEEDS = ["django>=6.0", "djangorestframework", "pika", "pyyaml"]


def environment(version: str) -> Path:
    """What it depends on, installed once for each Python."""
    python = interpreters.at_hand().get(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    key = hashlib.sha256((SERVICE / "pyproject.toml").read_bytes() + python.encode()).hexdigest()[:8]
    folder = ROOT / ".venv" / f"newer-{version}-{key}"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *NEEDS]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"Django 6 could not be installed: {done.stderr.strip().splitlines()[-1]}")
        (folder / "ready").touch()
    return folder


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_it_does_what_it_does(version: str, tmp_path: Path) -> None:
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (PROJECT, SERVICE))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DJANGO_SETTINGS_MODULE": "project",
        "USER_MODEL": "members.Plain",
        "SUBJECT": "username",
        "NAME": str(tmp_path / "members.sqlite3"),
    }
    command = [environment(version) / "bin/python", "-W", "error::DeprecationWarning", PROJECT / "newer.py"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[-1].startswith("6.")
