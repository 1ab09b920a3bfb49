"""Where Redis and RabbitMQ can be neither found nor installed, the demo runs without them."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

import pytest

from lab.demo import arguments, cli
from lab.setup import bootstrap
from lab.stack.servers import RabbitMQ, Redis


@pytest.fixture(autouse=True)
def _nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bootstrap, cli):
        monkeypatch.setattr(module, "find", lambda program: None)
    for variable in ("DEMO_REDIS_URL", "DEMO_AMQP_URL"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(params=["not root", "no apt", "no network"])
def _nothing_can_be_installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap.os, "geteuid", lambda: 1000 if request.param == "not root" else 0)
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None if request.param == "no apt" else name)

    def fail(argv: list[str]) -> None:
        raise subprocess.CalledProcessError(100, argv, "no network")

    monkeypatch.setattr(bootstrap, "run", fail)
    monkeypatch.setattr(bootstrap, "POLICY", bootstrap.ROOT / "pyproject.toml")  # there: it is left alone


@pytest.mark.usefixtures("_nothing_can_be_installed")
def test_the_set_up_goes_on_only_where_it_is_told_to() -> None:
    bootstrap._ensure_programs(["redis-server"], if_possible=True)
    with pytest.raises((SystemExit, subprocess.CalledProcessError)):
        bootstrap._ensure_programs(["redis-server"], if_possible=False)


def test_the_demo_says_so_in_one_line_and_runs_embedded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[object] = []

    def start(exits: ExitStack, embedded: bool, starting: object) -> None:
        for variable, kind in (("DEMO_REDIS_URL", Redis), ("DEMO_AMQP_URL", RabbitMQ)):
            started.append(cli._server(variable, kind, exits, print))
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_start", start)
    monkeypatch.setattr("sys.argv", ["demo"])
    cli.main(arguments.parse())
    assert started == [None, None]
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("Running without redis-server and rabbitmq-server")


def test_a_server_that_is_named_needs_none_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_REDIS_URL", "redis://elsewhere")
    assert cli._not_to_be_had() == ["rabbitmq-server"]
