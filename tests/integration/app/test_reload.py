"""A running sidecar is given another policy, other secrets and another certificate, without a restart."""

from __future__ import annotations

import json
import signal
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import DEADLINE
from lab.stack.alone import POLICY, Alone
from lab.stack.process import free_port, wait_for
from lab.wire.certificates import self_signed
from lab.wire.peers import Client, Upstream

OTHER = POLICY.replace("/open/", "/other/")
OPEN = b"POST /open/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


async def status(program: Alone, request: bytes = OPEN) -> bytes:
    async with await Client.connect(program.port) as client:
        await client.send(request)
        return (await client.contains(b"\r\n\r\n"))[9:12]


def policy(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.yaml").write_text(text)


def reloads(program: Alone) -> list[bool]:
    return [line["reload"]["accepted"] for line in program.lines() if "reload" in line]


async def test_sighup_puts_another_policy_into_force_and_a_bad_one_is_rejected(
    start: Callable[..., Alone], tmp_path: Path
) -> None:
    program = start(f"http://127.0.0.1:{free_port()}", RELOAD_INTERVAL=0)
    assert await status(program) == b"502"
    first = json.loads(program.admin("/status"))
    policy(tmp_path, OTHER)
    assert await status(program) == b"502"  # nobody has said so yet
    program.signal(signal.SIGHUP)
    wait_for(lambda: reloads(program) == [True], DEADLINE, "the reload")
    assert await status(program) == b"403"
    second = json.loads(program.admin("/status"))
    assert second["policy"] != first["policy"]
    assert (first["reload"], second["reload"]["changed"]) == (None, ["AUTHZ_POLICY"])

    policy(tmp_path, "version: 2\nrules: []\n")
    program.signal(signal.SIGHUP)
    wait_for(lambda: reloads(program) == [True, False], DEADLINE, "the rejection")
    third = json.loads(program.admin("/status"))
    assert third["policy"] == second["policy"]
    assert third["reload"]["problems"] == [f"{tmp_path / 'policy.yaml'}:1: version: must be 1"]
    assert program.counted("authz_reload_rejected") == 1
    assert await status(program, OPEN.replace(b"open", b"other")) == b"502"


async def test_files_are_watched_and_what_is_under_way_is_matched_anew(
    start: Callable[..., Alone], tmp_path: Path
) -> None:
    socket = tmp_path / "upstream.sock"
    upstream = Upstream()
    await upstream.start(str(socket))
    try:
        program = start(f"unix:{socket}", RELOAD_INTERVAL=0.05)
        async with await Client.connect(program.port) as client:
            await client.send(OPEN.replace(b"Length: 0", b"Length: 9") + b"abc")
            peer = await upstream.accept()
            await peer.contains(b"abc")
            policy(tmp_path, OTHER)
            assert (await client.contains(b"\r\n\r\n")).startswith(b"HTTP/1.1 403 ")
            await peer.closed()
    finally:
        await upstream.stop()
    wait_for(lambda: program.lines(type="decision", code="no_rule"), DEADLINE, "the log")
    (revoked,) = program.lines(type="decision", code="no_rule")
    assert revoked["policy"] == json.loads(program.admin("/status"))["policy"]


def test_the_admin_port_reloads_for_holders_of_its_token_which_may_change_too(
    start: Callable[..., Alone], tmp_path: Path
) -> None:
    token = tmp_path / "admin-token"
    token.write_text("first")
    program = start(f"http://127.0.0.1:{free_port()}", RELOAD_INTERVAL=0, ADMIN_TOKEN_FILE=token)
    assert program.asked("POST", "/reload")[0] == 401
    assert program.asked("GET", "/reload", "first")[0] == 405
    token.write_text("second")
    answered, text = program.asked("POST", "/reload", "first")
    assert (answered, json.loads(text)["changed"]) == (200, ["AUTHZ_ADMIN_TOKEN"])
    assert program.asked("POST", "/reload", "first")[0] == 401
    policy(tmp_path, "bad")
    answered, text = program.asked("POST", "/reload", "second")
    assert (answered, json.loads(text)["accepted"]) == (422, False)


def test_without_an_admin_token_nobody_reloads_over_the_network(start: Callable[..., Alone]) -> None:
    program = start(f"http://127.0.0.1:{free_port()}")
    assert program.asked("POST", "/reload")[0] == 404
    assert program.asked("POST", "/reload", "None")[0] == 404


def certificate(tmp_path: Path) -> bytes:
    """Written where the sidecar reads it; returns what a client then sees."""
    made, key = self_signed()
    (tmp_path / "cert.pem").write_bytes(made)
    (tmp_path / "key.pem").write_bytes(key)
    return ssl.PEM_cert_to_DER_cert(made.decode())


@pytest.mark.parametrize("broken", [False, True])
def test_a_renewed_certificate_is_used_and_one_that_does_not_fit_is_not(
    start: Callable[..., Alone], tmp_path: Path, broken: bool
) -> None:
    first = certificate(tmp_path)
    program = start(
        f"http://127.0.0.1:{free_port()}",
        RELOAD_INTERVAL=0,
        TLS_CERT=tmp_path / "cert.pem",
        TLS_KEY=tmp_path / "key.pem",
    )

    def shown() -> bytes:
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", program.port)))

    assert shown() == first
    key = (tmp_path / "key.pem").read_bytes()
    second = certificate(tmp_path)
    if broken:
        (tmp_path / "key.pem").write_bytes(key)
    program.signal(signal.SIGHUP)
    wait_for(lambda: reloads(program) == [not broken], DEADLINE, "the reload")
    assert shown() == (first if broken else second)
