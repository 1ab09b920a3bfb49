"""`authz-sidecar conformance` tells a User service that keeps the wire contract from one that does not."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from authz_sidecar.cli import main
from authz_sidecar.commands import contract
from lab import DEADLINE, ROOT, tiny_user_service
from lab.stack.alone import Alone
from lab.stack.process import wait_for
from lab.tiny_user_service import FAULTS, Log

TOKEN = "a-token-of-twenty-characters"
ANN = {"active": True, "superuser": False, "permissions": ["a.b"], "groups": ["3"], "token_generation": 2}


def fill(log: Log) -> None:
    log.put("group", "3", {"permissions": ["c.d"]})
    log.put("user", "ann@example.org", ANN)
    log.put("user", "1", {**ANN, "superuser": True})
    log.put("user", "2", {**ANN, "active": False, "groups": []})
    log.put("user", "3", ANN)
    log.put("user", "3", None)


@contextmanager
def serving(fault: str = "") -> Iterator[str]:
    server = tiny_user_service.server(0, TOKEN, fault)
    fill(server.RequestHandlerClass.log)  # type: ignore[attr-defined] # the tiny handler's
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHZ_SERVICE_TOKEN", TOKEN)


def test_a_tiny_one_without_django_keeps_it(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as url:
        code = main(["conformance", url])
    told = capsys.readouterr().out.splitlines()
    assert told == [
        *(f"kept    {rule}" for rule in contract.RULES),
        f"{len(contract.RULES)} rules kept, 0 broken",
    ]
    assert code == 0


BROKEN = {
    "answers-anybody": "only a valid credential is answered: GET /authz/v1/head with no credential: 200, not",
    "feeds-anybody": "only a valid credential is answered: GET /authz/v1/changes?",
    "gap": "changes follow without gaps and agree with the snapshot: revision 3 follows 1",
    "truncated-snapshot": "a snapshot is whole: snapshot: cut off after 4 of 4 entities",
    "stale-snapshot": "changes follow without gaps and agree with the snapshot: group 3 is another",
    "other-fields": "fields that name users are told alike: ('id',) in head, ('name',) with changes",
    "wrong-digest": "digests are those of the snapshot: bucket 0 of 16 differs",
    "empty-404": "a subject that does not exist is 404, with its place in history: ",
    "knows-every-history": "another history is 410: a revision of another epoch is no 410",
    "allows-everything": "check decides as the state says, for a known reason: ",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_one_is_found_out(fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(fault) as url:
        assert main(["conformance", url]) == 1
    broken = [
        line.removeprefix("BROKEN  ") for line in capsys.readouterr().out.splitlines() if "BROKEN" in line
    ]
    assert broken[0].startswith(BROKEN[fault])


def test_one_that_cannot_be_asked_keeps_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "http://127.0.0.1:1"]) == 1
    assert "BROKEN  head names" in capsys.readouterr().out


def test_it_needs_a_credential(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("AUTHZ_SERVICE_TOKEN")
    assert main(["conformance", "http://127.0.0.1:1"]) == 2
    assert "AUTHZ_SERVICE_TOKEN: required" in capsys.readouterr().err


def test_the_page_says_every_rule_that_is_tried() -> None:
    page = (ROOT / "docs/contract.md").read_text()
    assert [rule for rule in contract.RULES if f"**{rule}**" not in page] == []


def test_the_tiny_one_feeds_a_sidecar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "rules.yaml"
    policy.write_text("version: 1\nrules:\n  - {methods: [PUT], path: /things/, permission: a.b}\n")
    with serving() as url:
        settings = {"USER_SERVICE": url, "SERVICE_TOKEN": TOKEN, "POLICY": policy, "ADMIN_TOKEN": TOKEN}
        sidecar = Alone("http://127.0.0.1:1", tmp_path, FEED_INTERVAL="0.1", **settings)
        monkeypatch.setenv("AUTHZ_ADMIN_LISTEN", f"127.0.0.1:{sidecar.admin_port}")
        monkeypatch.setenv("AUTHZ_ADMIN_TOKEN", TOKEN)

        def allowed() -> bool:
            main(["explain", "--json", "--subject", "ann@example.org", "PUT", "/things/"])
            return bool(json.loads(capsys.readouterr().out)["allowed"])

        try:
            sidecar.ready()
            wait_for(lambda: sidecar.counted("authz_applied_revision") == 6, DEADLINE, "all", sidecar.process)
            assert allowed()
            put(url, "/users/ann@example.org", {**ANN, "permissions": []})
            wait_for(lambda: sidecar.counted("authz_applied_revision") == 7, DEADLINE, "it", sidecar.process)
            assert not allowed()
        finally:
            sidecar.process.stop()


def put(url: str, path: str, state: object) -> None:
    request = urllib.request.Request(f"{url}{path}", json.dumps(state).encode(), method="PUT")  # noqa: S310 (our own server)
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:  # noqa: S310 (our own server)
        assert answer.status == 200
