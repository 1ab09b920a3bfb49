"""A built wheel in an empty environment, where there is no compiler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from lab import DEADLINE, ROOT
from lab.release.contents import compiled_modules
from lab.release.distributions import SIDECAR
from lab.setup.bootstrap import run
from lab.stack.process import Process, free_port, wait_for

UNAUTHORIZED = 401
POLICY = str(ROOT / "compose" / "policy.yaml")
LOADED = """
import importlib, json, sys
print(json.dumps({name: importlib.import_module(name).__file__ for name in sys.argv[1:]}))
"""
USER_SERVICE = """
import django
from django.conf import settings
from django.core.management import call_command
apps = ["authz_changelog", "django.contrib.auth", "django.contrib.contenttypes"]
database = {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}
settings.configure(INSTALLED_APPS=apps, DATABASES={"default": database}, USE_TZ=True)
django.setup()
call_command("migrate", verbosity=0)
call_command("authz_status")
"""


class Environment:
    """A virtual environment with nothing in it. What runs in it finds no program but its own."""

    def __init__(self, folder: Path, python: str | Path = sys.executable) -> None:
        """`python` has a pip; one older than the interpreter that it installs for may not understand it."""
        run([python, "-m", "venv", "--without-pip", folder])
        self._python = python
        self.folder = folder
        self.bin = folder / "bin"
        self.variables = {"PATH": str(self.bin), "PYTHONPATH": ""}

    def install(self, wheel: Path, *options: str | Path) -> None:
        """By a pip from outside, which takes nothing that would have to be built."""
        pip: list[str | Path] = [
            self._python,
            "-m",
            "pip",
            "--python",
            self.bin / "python",
            "install",
            "--quiet",
        ]
        run([*pip, "--only-binary=:all:", *options, wheel], self.variables)

    def says(self, program: str, *arguments: str) -> str:
        """What a program of this environment prints. Raises `CalledProcessError`."""
        done = subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.folder,
            env={**os.environ, **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        return done.stdout


def of_sidecar(environment: Environment, suffix: str) -> list[str]:
    """What is wrong with the sidecar as it is installed there, a sentence each.

    `suffix`: of the files from which what runs for each request is to be loaded.
    """
    how = "compiled" if suffix == ".so" else "as it is written"
    said = environment.says("authz-sidecar", "--version").strip()
    wrong = [] if said == f"authz-sidecar {SIDECAR.version} ({how})" else [f"it says that it is {said}"]
    wrong += _loaded_otherwise(environment, suffix)
    environment.says("authz-sidecar", "check", "--policy-only", "--policy", POLICY)  # with its tests
    status = first_refusal(environment)
    return wrong + ([] if status == UNAUTHORIZED else [f"a change without a token was answered {status}"])


def of_changelog(environment: Environment) -> list[str]:
    """What is wrong with the change log in a project of Django's; it complains by itself."""
    said = environment.says("python", "-c", USER_SERVICE)
    return [] if "proof     complete" in said else [f"authz_status says:\n{said}"]


def _loaded_otherwise(environment: Environment, suffix: str) -> list[str]:
    modules = sorted(each.replace("/", ".") for each in compiled_modules() if not each.endswith("__init__"))
    found: Mapping[str, str] = json.loads(environment.says("python", "-c", LOADED, *modules))
    return [f"{name} was loaded from {path}" for name, path in found.items() if not path.endswith(suffix)]


def first_refusal(environment: Environment) -> int:
    """The status of a change without a token, sent to a sidecar that runs there on its own."""
    places = {name: f"127.0.0.1:{free_port()}" for name in ("LISTEN", "ADMIN_LISTEN")}
    parts = {name: f"http://127.0.0.1:{free_port()}" for name in ("UPSTREAM", "USER_SERVICE")}
    names = {"SERVICE_TOKEN": "none", "JWT_ISSUER": "https://users.example.org", "JWT_AUDIENCE": "students"}
    settings = {
        f"AUTHZ_{name}": value for name, value in {**places, **parts, **names, "POLICY": POLICY}.items()
    }
    program = Process(
        [environment.bin / "authz-sidecar", "run"],
        env={**environment.variables, **settings},
        cwd=environment.folder,
        log_path=environment.folder / "sidecar.log",
    )
    program.start()
    try:
        url = f"http://{places['LISTEN']}/students/"
        return wait_for(lambda: _status_of_change(url), DEADLINE, "the installed sidecar", program)
    finally:
        program.stop()


def _status_of_change(url: str) -> int:
    try:
        with urlopen(Request(url, b"{}"), timeout=DEADLINE) as answer:  # noqa: S310 (our own server)
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
