"""By the commands and lines of their pages alone a stranger's Django project becomes a User service, and a
published application is protected by it.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from lab import ROOT
from lab.stack.process import free_port
from lab.stack.servers import PostgreSQL

PAGE = (ROOT / "docs/guides/your-django-user-service.md").read_text()
SHORT = (ROOT / "user_service/README.md").read_text()
INSTALL, READY, CREDENTIAL, SIDECAR, SIGN_IN, ASK = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
APPS, SETTINGS, URLS, GRANT, REVOKE, DELETE, SUBJECT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(POLICY,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

WAGTAIL = (ROOT / "docs/guides/wagtail.md").read_text()
BEGIN, RUN, ITS_CREDENTIAL, ITS_SIDECAR, TRY = re.findall(r"```sh\n(.*?)```", WAGTAIL, re.DOTALL)
IDENTITY, LOCAL = re.findall(r"```python\n(.*?)```", WAGTAIL, re.DOTALL)
(ITS_POLICY,) = re.findall(r"```yaml\n(.*?)```", WAGTAIL, re.DOTALL)
_OF_IT = "".join((BEGIN, RUN, IDENTITY, LOCAL)).encode()
KEPT = ROOT / ".venv" / f"wagtail-{hashlib.sha256(_OF_IT).hexdigest()[:8]}"
"""Installed and migrated once: it takes a minute."""

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
ann = Person(email="ann@example.org")
ann.set_password("correct horse battery")
ann.save()
ann.user_permissions.add(Permission.objects.get(codename="add_person"))
group = Group.objects.create(name="editors")
group.permissions.add(Permission.objects.get(codename="change_person"))
ann.groups.add(group)
print(ann.pk)
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
    path = f"{environment / 'venv/bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**ours, "PATH": path}


def shell(environment: Path, commands: str, where: Path, **more: str) -> str:
    """The output of shell commands, in this environment as if it were activated."""
    done = subprocess.run(
        ["sh", "-ec", commands],
        cwd=where,
        env={**variables(environment), **more},
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


class Guide:
    """The project and what the page has one run, at addresses of our own."""

    def __init__(self, environment: Path, project: Path) -> None:
        self.environment, self.project = environment, project
        self.ports = {port: str(free_port()) for port in ("8000", "8080", "9000")}

    def here(self, text: str) -> str:
        for port, ours in self.ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{ours}")
        return text

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.ports[port]}"

    def shell(self, commands: str, **more: str) -> str:
        return shell(self.environment, self.here(commands), self.project, **more)

    def python(self, code: str) -> str:
        return self.shell('python manage.py shell --no-imports -c "$CODE"', CODE=code)

    def take_up(self, subject: str = "", policy: str = POLICY, credential: str = CREDENTIAL) -> str:
        """All that is to be done in the project; what its commands print."""
        settings, urls = self.project / "mysite/settings.py", self.project / "mysite/urls.py"
        lines_into(settings, "INSTALLED_APPS = [", *_items(APPS))
        lines_into(urls, "urlpatterns = [", *_items(URLS))
        lines_into(urls, "from django.urls import path", "from django.urls import include")
        settings.write_text(settings.read_text() + self.here(SETTINGS) + subject)
        (self.project / "policy.yaml").write_text(policy)
        return self.shell(READY + credential)

    @contextmanager
    def serving(self, command: str, port: str) -> Iterator[None]:
        """A server, until it accepts connections."""
        one_line = command.strip().replace("\\\n", "")
        with (self.project / f"{port}.log").open("wb") as output:
            server = subprocess.Popen(
                ["sh", "-ec", f"exec env {self.here(one_line)}"],
                cwd=self.project,
                env={**variables(self.environment), "AUTHZ_ADMIN_LISTEN": f"127.0.0.1:{free_port()}"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                self._wait(server, port)
                yield
            finally:
                server.terminate()
                server.wait(30)

    def _wait(self, server: "subprocess.Popen[bytes]", port: str) -> None:
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", int(self.ports[port])), 5):
                return
            assert server.poll() is None, (self.project / f"{port}.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def ask(self, until: str, request: str = ASK) -> None:
        """The page's request, until it is answered so: a sidecar that polls is half a second behind."""
        deadline = time.monotonic() + 30
        while (answer := self.shell(request).strip()) != until:
            assert time.monotonic() < deadline, answer
            time.sleep(0.2)


def _items(listing: str) -> list[str]:
    return [line for line in listing.splitlines() if line.startswith("    ") and "#" not in line]


UPSTREAM = """
import http.server

class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", 9000), Answer).serve_forever()
"""


def test_the_page_makes_it_a_user_service(environment: Path, project: Path, postgres: PostgreSQL) -> None:
    """On PostgreSQL, with the address as the subject."""
    use_postgresql(project, postgres)
    guide = Guide(environment, project)
    guide.shell("python manage.py makemigrations people; python manage.py migrate")
    guide.python(BEFORE)
    said = guide.take_up(SUBJECT)
    assert "System check identified no issues" in said
    assert "0 missing" in said
    (project / "service.py").write_text(UPSTREAM.replace("9000", guide.ports["9000"]))
    with (
        guide.serving("python manage.py runserver --noreload 127.0.0.1:8000", "8000"),
        guide.serving("python service.py", "9000"),
    ):
        _was_there_before(guide, "ann@example.org")
        with guide.serving(SIDECAR, "8080"):
            _signs_in_is_granted_revoked_and_deleted(guide)


def _was_there_before(guide: Guide, ann: str) -> None:
    token = (guide.project / "token").read_text().strip()
    assert json.loads(get(f"{guide.url('8000')}/authz/v1/head", token))["revision"] == 1
    snapshot = get(f"{guide.url('8000')}/authz/v1/snapshot", token)
    _, *entities, _ = map(json.loads, snapshot.splitlines())
    states = {(each["kind"], each["key"]): each["state"] for each in entities}
    assert states["user", ann]["permissions"] == ["people.add_person"]
    assert [state["permissions"] for (kind, _), state in states.items() if kind == "group"] == [
        ["people.change_person"]
    ]


def _signs_in_is_granted_revoked_and_deleted(guide: Guide) -> None:
    guide.shell(SIGN_IN)
    guide.ask(until="403")
    guide.python(GRANT)
    guide.ask(until="201")
    guide.python(REVOKE)
    guide.ask(until="403")
    guide.python(DELETE)
    guide.ask(until="401")
    assert "subject_unknown" in (guide.project / "answer").read_text()
    assert "Traceback" not in (guide.project / "8000.log").read_text()


@pytest.fixture
def wagtail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new site after the page's first commands and with its files, in an environment of its own."""
    if not (KEPT / "ready").exists():
        shutil.rmtree(KEPT, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", KEPT / "venv"], check=True)
        (KEPT / "site").mkdir()
        try:
            shell(KEPT, BEGIN, KEPT / "site")
        except AssertionError as error:
            pytest.skip(f"Wagtail could not be installed: {str(error).strip().splitlines()[-1]}")
        (KEPT / "site/identity.py").write_text(IDENTITY)
        (KEPT / "site/mysite/settings/local.py").write_text(LOCAL)
        shell(KEPT, RUN.splitlines()[0], KEPT / "site")
        (KEPT / "ready").touch()
    site = tmp_path_factory.mktemp("wagtail") / "site"
    shutil.copytree(KEPT / "site", site)
    return site


def _collections(site: Path) -> int:
    with closing(sqlite3.connect(site / "db.sqlite3")) as database:
        found = database.execute("SELECT count(*) FROM wagtailcore_collection WHERE name = 'Reports'")
        return int(found.fetchone()[0])


def test_a_published_application_is_protected(environment: Path, project: Path, wagtail: Path) -> None:
    """By a User service on SQLite, with the primary key as the subject."""
    guide, site = Guide(environment, project), Guide(KEPT, wagtail)
    site.ports = guide.ports
    guide.shell("python manage.py makemigrations people; python manage.py migrate")
    ann = guide.python(BEFORE).strip()
    guide.take_up(policy=ITS_POLICY, credential=ITS_CREDENTIAL)
    _, create, serve = RUN.splitlines()
    site.shell(create)
    with (
        guide.serving("python manage.py runserver --noreload 127.0.0.1:8000", "8000"),
        site.serving(serve, "9000"),
        guide.serving(ITS_SIDECAR, "8080"),
    ):
        _was_there_before(guide, ann)
        guide.shell(SIGN_IN)
        guide.ask("403", TRY)
        assert _collections(wagtail) == 0
        guide.python(GRANT.replace("add_student", "add_collection"))
        guide.ask("302", TRY)
        assert _collections(wagtail) == 1
        guide.python(REVOKE)
        guide.ask("403", TRY)
        made = _collections(wagtail)  # perhaps one more, before the sidecar had heard of it
        guide.python(DELETE)
        guide.ask("401", TRY)
        assert _collections(wagtail) == made


def test_the_short_page_says_the_same() -> None:
    commands = "".join(re.findall(r"```sh\n(.*?)```", SHORT, re.DOTALL)).splitlines()
    assert [each for each in commands if each not in PAGE] == ["pip install ./user_service"]
