"""A Django project of somebody else becomes a User service by the commands and lines of its page alone."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from lab import ROOT
from lab.stack.process import free_port
from lab.stack.servers import PostgreSQL

PAGE = (ROOT / "user_service/README.md").read_text()
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
SETTINGS_LINE, URLS_LINE = re.findall(r"```python\n\w+ = \[\n(.*?)\n", PAGE)
INSTALL, READY, TOKEN = SHELL

MODELS = """
import uuid
from django.contrib.auth.models import AbstractUser
from django.db import models

class Person(AbstractUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    username = None
    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []
"""
BEFORE = """
from django.contrib.auth.models import Group, Permission
from people.models import Person
ann = Person.objects.create(email="ann@example.org")
ann.user_permissions.add(Permission.objects.get(codename="add_person"))
group = Group.objects.create(name="editors")
group.permissions.add(Permission.objects.get(codename="change_person"))
ann.groups.add(group)
print(ann.pk)
"""
REVOKE = """
from people.models import Person
Person.objects.get().groups.clear()
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment after the page's first command, beside a copy of the repository."""
    folder = tmp_path_factory.mktemp("adopter")
    listed = subprocess.run(["git", "ls-files", "user_service"], cwd=ROOT, check=True, capture_output=True)
    for name in listed.stdout.decode().split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    shell(folder, INSTALL + "pip install 'psycopg[binary]'", folder)
    return folder


def variables(environment: Path) -> dict[str, str]:
    """Those of a shell in which it is activated, without what belongs to these tests."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "PYTHON"))}
    return {**ours, "PATH": f"{environment / 'venv/bin'}:{os.environ['PATH']}"}


def shell(environment: Path, commands: str, where: Path, **more: str) -> str:
    """The output of shell commands, in this environment as if it were activated."""
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "PYTHON"))
    }
    path = f"{environment / 'venv/bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", commands],
        cwd=where,
        env={**variables, "PATH": path, **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def lines_into(path: Path, after: str, *lines: str) -> None:
    text = path.read_text()
    assert text.count(after) == 1
    path.write_text(text.replace(after, "\n".join([after, *lines])))


@pytest.fixture
def project(environment: Path, tmp_path: Path) -> Path:
    """What a stranger has: users with UUIDs who sign in by e-mail."""
    shell(environment, "django-admin startproject mysite .; python manage.py startapp people", tmp_path)
    (tmp_path / "people/models.py").write_text(MODELS)
    settings = tmp_path / "mysite/settings.py"
    lines_into(settings, "INSTALLED_APPS = [", '    "people",')
    settings.write_text(settings.read_text() + '\nAUTH_USER_MODEL = "people.Person"\n')
    return tmp_path


def use_postgresql(project: Path, server: PostgreSQL) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE adopter")
    parts = psycopg.conninfo.conninfo_to_dict(server.url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "adopter",
        "USER": parts.get("user"),
        "PASSWORD": parts.get("password"),
        "HOST": parts.get("host"),
        "PORT": parts.get("port"),
    }
    settings = project / "mysite/settings.py"
    settings.write_text(settings.read_text() + f"\nDATABASES = {{'default': {database!r}}}\n")


@contextmanager
def served(environment: Path, project: Path) -> Iterator[str]:
    port = free_port()
    command = [environment / "venv/bin/python", "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    output = (project / "server.log").open("wb")
    server = subprocess.Popen(
        command, cwd=project, env=variables(environment), stdout=output, stderr=subprocess.STDOUT
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)
        output.close()


def get(url: str, token: str) -> str:
    """What is answered; the server may still be starting."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 (our own server)
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (our own server)
                return str(answer.read().decode())
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
def test_the_page_makes_it_a_user_service(
    environment: Path, project: Path, vendor: str, request: pytest.FixtureRequest
) -> None:
    if vendor == "postgresql":
        use_postgresql(project, request.getfixturevalue("postgres"))
    shell(environment, "python manage.py makemigrations people; python manage.py migrate", project)
    ann = _python(environment, project, BEFORE).strip()

    lines_into(project / "mysite/settings.py", "INSTALLED_APPS = [", SETTINGS_LINE)
    lines_into(project / "mysite/urls.py", "urlpatterns = [", URLS_LINE)
    lines_into(project / "mysite/urls.py", "from django.urls import path", "from django.urls import include")
    said = shell(environment, READY, project)
    assert "System check identified no issues" in said
    assert "0 missing" in said
    token = shell(environment, TOKEN, project).strip()

    with served(environment, project) as url:
        head = json.loads(get(f"{url}/authz/v1/head", token))
        assert head["revision"] == 1
        _, *entities, _ = map(json.loads, get(f"{url}/authz/v1/snapshot", token).splitlines())
        states = {(each["kind"], each["key"]): each["state"] for each in entities}
        assert states["user", ann]["permissions"] == ["people.add_person"]
        assert [state["permissions"] for (kind, _), state in states.items() if kind == "group"] == [
            ["people.change_person"]
        ]
        _python(environment, project, REVOKE)
        assert json.loads(get(f"{url}/authz/v1/head", token))["revision"] == 2
        assert json.loads(get(f"{url}/authz/v1/subjects/{ann}", token))["permissions"] == [
            "people.add_person"
        ]


def _python(environment: Path, project: Path, code: str) -> str:
    return shell(environment, 'python manage.py shell --no-imports -c "$CODE"', project, CODE=code)
