"""What the whole program says in its logs, of its start and of each request, and what it never says."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from authz_sidecar import __version__
from lab import DEADLINE
from lab.stack.alone import Alone
from lab.stack.process import free_port, wait_for
from lab.wire.peers import Client

TOKEN = b"eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIxNyJ9.c2lnbmF0dXJl"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.mark.parametrize(("mode", "level"), [("enforce", "info"), ("shadow", "warning")])
async def test_a_start_and_a_request(start: Callable[..., Alone], mode: str, level: str) -> None:
    service = f"127.0.0.1:{free_port()}"
    program = start(f"http://{service}", MODE=mode)
    request = b"POST /other/%b/?token=%b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n%b"
    rest = b"Content-Length: 0\r\nX-Request-Id: mine\r\n\r\n"
    async with await Client.connect(program.port) as client:
        await client.send(request % (TOKEN, TOKEN, TOKEN, rest))
        await client.contains(b"\r\n\r\n")
    wait_for(lambda: program.lines(type="answer"), DEADLINE, "the log")
    _check_start(program, mode, level)
    (decision,) = program.lines(type="decision", request_id="mine")
    assert (decision["code"], decision["detail"], decision["kid"]) == ("no_rule", "no rule allows this", None)
    (answer,) = program.lines(type="answer", request_id="mine")
    assert (answer["status"], answer["peer"]) == (403 if mode == "enforce" else 502, "127.0.0.1")
    for failure in program.lines(type="failure", request_id="mine"):
        assert service in failure["detail"]
    assert bool(program.lines(type="failure")) is (mode == "shadow")
    assert all(INSTANT.fullmatch(line["at"]) for line in program.lines())
    assert TOKEN.decode() not in program.process.log_path.read_text()


def _check_start(program: Alone, mode: str, level: str) -> None:
    (line,) = program.lines(mode=mode, level=level)
    assert line["message"].startswith("starting")
    assert (line["version"], type(line["compiled"])) == (__version__, bool)
    assert line["listen"] == f"127.0.0.1:{program.port}"
    assert line["admin_listen"] == f"127.0.0.1:{program.admin_port}"
    assert line["user_service"] == f"http://127.0.0.1:{program.user_service_port}"
    assert re.fullmatch("[0-9a-f]+", line["policy"])
