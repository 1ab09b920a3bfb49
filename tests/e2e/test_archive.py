"""What a sidecar decided is judged afterwards by its log and the archive alone, against the real services."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from authz_sidecar import cli
from lab import DEADLINE
from lab.stack.client import People, call
from lab.stack.process import wait_for
from lab.stack.system import Stack

ADD = "students.add_student"


def archive(system: Stack, folder: Path) -> int:
    service = system.user_service
    flags = [f"--user-service={service.url}", f"--service-token={service.service_token}"]
    return cli.main(["archive", f"--folder={folder}", "--once", *flags])


def test_decisions_are_judged_by_log_and_archive_alone(
    system: Stack, people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, log = tmp_path / "archive", tmp_path / "decisions.jsonl"
    assert archive(system, folder) == 0
    began = len(system.sidecar.log_path.read_text())
    user = people.new_user("archived")
    token = people.token("archived")
    statuses = []
    for change in (people.grant, people.revoke):
        answer = change(user, ADD)
        headers = {"Authz-Min-Revision": answer.headers["authz-revision"]}
        url = f"{system.sidecar.url}/students/"
        statuses.append(call(url, "POST", token=token, data={}, **headers).status)
    assert statuses == [400, 403]  # let through to a service that wants a name; refused
    assert archive(system, folder) == 0

    def logged() -> list[str]:
        lines = system.sidecar.log_path.read_text()[began:].splitlines()
        return [line for line in lines if f'"subject": "{user}"' in line]

    wait_for(lambda: len(logged()) == 2, DEADLINE, "the lines of the log")
    log.write_text("\n".join(logged()) + "\n")
    capsys.readouterr()
    judged = ["verify", f"--archive={folder}", "--decisions", str(log)]
    assert cli.main(judged) == 0
    assert "0 violations, 0 decisions not judged" in capsys.readouterr().out

    log.write_text(log.read_text().replace('"permission_denied"', '"granted"'))
    assert cli.main(judged) == 1
    assert "right is permission_denied" in capsys.readouterr().out

    beyond = json.loads(log.read_text().splitlines()[0])
    log.write_text(json.dumps({**beyond, "revision": beyond["revision"] + 1_000_000}) + "\n")
    assert cli.main(judged) == 2
    assert "which the archive lacks" in capsys.readouterr().out
    assert cli.main(["verify", f"--archive={folder}"]) == 0
