"""Every command and every configuration of the guides in docs/guides/, run as it stands there.

They share one User service, and most of them one service of somebody's.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from redis import Redis as Client

from lab.stack.client import Answer, People, call
from lab.stack.process import free_port
from lab.stack.servers import Redis
from lab.stack.system import Stack
from tests.e2e.guides.reader import Given, Reader, served
from tests.e2e.guides.realm import Realm

CHANGE = "/students/1/"
MakeReader = Callable[..., Reader]


@pytest.fixture
def reader(system: Stack, tmp_path: Path) -> MakeReader:
    def make(name: str, service: str = "", **options: Any) -> Reader:
        service = service or f"127.0.0.1:{free_port()}"
        folder = tmp_path / str(free_port())
        folder.mkdir()
        return Reader(name, system.user_service, folder, service, **options)

    return make


@pytest.fixture(scope="module")
def wsgi(system: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served("gunicorn", system.user_service, tmp_path_factory.mktemp("wsgi")) as address:
        yield address


def patch(url: str, token: str = "", **headers: str) -> Answer:
    return call(url + CHANGE, "PATCH", token=token, data={}, **headers)


def objects(text: str) -> list[Any]:
    """JSON objects, one after another without anything between them."""
    found, decoder = [], json.JSONDecoder()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].strip()
    return found


def test_your_django_api(reader: MakeReader, wsgi: str) -> None:
    me = reader("django-api", wsgi)
    page = me.page
    page.take("sh", "gunicorn"), page.take("sh", "uvicorn")  # by which the services run
    me.writes(page.take("yaml"))
    assert "4 of 4 passed" in me.runs(page.take("sh", "--policy-only"))
    me.runs(page.take("sh", "authz_permissions"))
    assert len((me.folder / "token").read_text().split()) == 1
    me.writes(page.take("sh", "# sidecar.env"))
    with me.serving(page.take("sh", "authz-sidecar run"), f"http://{me.admin}/readyz?fresh"):
        refused, answered = objects(me.runs(page.take("sh", "curl")))
    assert refused["code"] == "token_missing"
    assert (answered["method"], answered["path"]) == ("POST", "/students/")
    assert page.left == []


CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -noenc -keyout api.key -out api.pem -days 2 "
    "-subj /CN=api.example.org -addext subjectAltName=DNS:api.example.org"
)


def test_behind_a_tls_proxy(reader: MakeReader, people: People) -> None:
    if Given.program() is None:
        pytest.skip("nginx is not installed; scripts/test gets it")
    me = reader("tls-proxy")
    me.runs(CERTIFICATE)
    me.writes(me.page.take("python"))
    trusting = me.page.take("sh")
    curl = "curl --silent --cacert api.pem --connect-to api.example.org:443:{0} {1} https://api.example.org"
    with me.service(), Given(me.page.take("nginx"), me.folder) as nginx:
        with me.sidecar():
            said = me.runs(curl.format(nginx.address, "-w '%{redirect_url}'"))
            assert said == "https://api.example.org/"  # from where it came, for ever
        with me.sidecar(trusting):
            assert "<title>mine" in me.runs(curl.format(nginx.address, ""))
            bearer = f"-X PATCH -H 'Authorization: Bearer {people.pass_of('bob')}' --json '{{}}'"
            (seen,) = objects(me.runs(curl.format(nginx.address, bearer) + CHANGE))
            assert (seen["scheme"], seen["headers"]["Host"]) == ("https", "api.example.org")
            (refused,) = objects(me.runs(curl.format(nginx.address, "-X PATCH") + CHANGE))
            assert refused["code"] == "token_missing"
    assert me.page.left == []


def test_simplejwt_and_other_users_of_authorization(reader: MakeReader, people: People, wsgi: str) -> None:
    me = reader("simplejwt")
    me.runs(me.page.take("sh", "openssl"))
    me.writes(me.page.take("yaml", "issuers.yaml"))
    for file in ("sign_in", "settings", "urls"):
        me.writes(me.page.take("python", f"# mysite/{file}.py"))
    me.people(people.id_of("bob"), "bob")
    ours = me.page.take("sh", "AUTHZ_ISSUERS_FILE")
    with me.service(), me.sidecar(ours, me.page.take("yaml", "/api/token/")) as url:
        tokens = call(f"{url}/api/token/", "POST", data={"username": "bob", "password": "secret"}).json()
        assert patch(url, tokens["access"]).status == 200
        assert patch(url, tokens["refresh"]).code == "token_invalid"
        renewed = call(f"{url}/api/token/refresh/", "POST", data={"refresh": tokens["refresh"]}).json()
        assert patch(url, renewed["access"]).status == 200
    two = reader("simplejwt", wsgi)
    with two.sidecar(me.page.take("sh", "AUTHZ_TOKEN_HEADER")) as url:
        bearer = {"X-Access-Token": f"Bearer {people.pass_of('bob')}"}
        answer = patch(url, Authorization="Token its-own", **bearer)
        assert answer.json()["headers"]["Authorization"] == "Token its-own"
        assert patch(url, Authorization="Token its-own").code == "token_missing"
    assert me.page.left == []


def test_keycloak(reader: MakeReader, people: People, wsgi: str) -> None:
    with Realm() as realm:
        me = reader("keycloak", wsgi, places={"https://id.example.org": realm.url})
        (me.folder / "admin-token").write_text("a-token-of-twenty-characters")
        me.writes(me.page.take("yaml"))
        settings = me.page.take("sh", "# sidecar.env")
        me.configures(settings)
        assert "PATCH" in me.runs(me.page.take("sh", "--online"))
        explain = me.page.take("sh", "explain")
        known = {"user_id": str(people.id_of("bob"))}
        with me.sidecar(settings) as url:
            for said, answer in {
                "200": patch(url, realm.token(**known)),
                "is meant for another audience": patch(url, realm.token(**known, aud="account")),
                "subject_unknown": patch(url, realm.token(user_id="99999999")),
                "is not of type JWT": patch(url, realm.token("at+jwt", **known)),
            }.items():
                assert said in f"{answer.status} {answer.body.decode()}"
            (me.folder / "access-token").write_text(realm.token(**known))
            me.runs(explain)
            (me.folder / "access-token").write_text(realm.token())
            assert "needs a user_id of 1 to 255 characters" in me.runs(f"{{ {explain.strip()}; }} || true")
    assert me.page.left == []


def test_not_django(reader: MakeReader, people: People) -> None:
    port, tiny = free_port(), free_port()
    places = {
        "http.server 8001": f"http.server {port}",
        "tiny_user_service 8000": f"tiny_user_service {tiny}",
        "127.0.0.1:8000": f"127.0.0.1:{tiny}",
    }
    me = reader("not-django", f"127.0.0.1:{port}", places=places)
    bob = people.pass_of("bob")
    with me.serving(me.page.take("sh", "http.server"), f"http://127.0.0.1:{port}/"), me.sidecar() as url:
        assert call(f"{url}/policy.yaml").status == 200
        assert patch(url).code == "token_missing"
        assert patch(url, bob).status == 501  # its own answer: it knows no PATCH
    credential = {"token": "a-token-of-twenty-characters"}
    with me.serving(me.page.take("sh", "tiny_user_service"), f"http://127.0.0.1:{tiny}/readyz"):
        assert call(f"http://127.0.0.1:{tiny}/authz/v1/head", **credential).status == 200
        assert ", 0 broken" in me.runs(me.page.take("sh", "conformance"))
    assert me.page.left == []


def test_upgrading_and_rolling_back(
    reader: MakeReader, system: Stack, redis_server: Redis, wsgi: str
) -> None:
    me = reader("upgrading", wsgi)
    copy = me.folder / "copy.sqlite3"
    source = system.user_service.env["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(copy)) as there:
        here.backup(there)
    elsewhere = {"DATABASE_URL": f"sqlite:///{copy}"}
    forward, back = me.page.take("sh", "manage.py migrate\n"), me.page.take("sh", "migrate authz_changelog")
    me.runs(back, **elsewhere)
    assert "0 missing" in me.runs(forward, **elsewhere)
    assert ", 0 broken" in me.runs(me.page.take("sh", "conformance"))
    me.configures()
    assert "PATCH" in me.runs(me.page.take("sh", "--online"))
    keys = {"{authz}:v1:current": "old", "{authz}:v1:gen:a": "old", "{authz}:v2:current": "new"}
    with Client.from_url(redis_server.url) as client:
        client.mset(keys)
        me.runs(me.page.take("sh", "unlink"), AUTHZ_REDIS_URL=redis_server.url)
        assert client.keys("{authz}:*") == [b"{authz}:v2:current"]
        client.delete("{authz}:v2:current")
    assert me.page.left == []


def signed_in(url: str) -> dict[str, str]:
    """What a browser sends from then on, after the admin's form at this address."""
    form = call(f"{url}/admin/login/").headers["set-cookie"].partition(";")[0]
    data = {"username": "admin", "password": "secret", "csrfmiddlewaretoken": form.partition("=")[2]}
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": form}
    answer = call(f"{url}/admin/login/?next=/admin/", "POST", data=urlencode(data).encode(), **kind)
    assert (answer.status, answer.headers.get("location")) == (302, "/admin/"), answer.body
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def test_forms_and_the_admin(reader: MakeReader, people: People) -> None:
    door = f"127.0.0.1:{free_port()}"
    me = reader("forms-and-admin", places={"10.0.0.5:8002": door})
    me.people(1, "admin")
    with me.serving(me.page.take("sh", "gunicorn"), f"http://{door}/"):
        with me.sidecar(me.page.take("yaml", "GET")) as url:
            assert call(f"http://{door}/admin/", **signed_in(f"http://{door}")).status == 200
            assert call(f"{url}/admin/login/").code == "token_missing"
            assert call(f"{url}/admin/login/", "POST", data=b"").code == "no_rule"
            shown = call(f"{url}/admin/login/", "POST", data=b"", Accept="text/html")
            assert (shown.status, shown.headers["content-type"]) == (403, "text/html; charset=utf-8")
        with me.sidecar(me.page.take("yaml", "anyone"), me.page.take("sh", "COOKIE")) as url:
            assert call(f"{url}/admin/", **signed_in(url)).status == 200
            token = {"Cookie": f"a=1; __Host-access={people.pass_of('bob')}"}
            seen = patch(url, **token, **{"Sec-Fetch-Site": "same-origin"}).json()
            assert seen["headers"]["Cookie"] == "a=1"
            assert patch(url, **token, **{"Sec-Fetch-Site": "cross-site"}).code == "cross_origin"
    assert me.page.left == []
