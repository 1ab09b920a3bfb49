"""Sockets that others have bound belong to whichever setting names their address."""

from __future__ import annotations

import os
import socket

import pytest

from authz_sidecar.core.errors import ConfigurationError
from authz_sidecar.inherited import Inherited, from_systemd

EVERY = "0.0.0.0"  # noqa: S104 (for the moment of a test)


def listening(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family)


@pytest.mark.parametrize(
    ("bound", "asked", "found"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "localhost", True),
        ("::1", "::1", True),
        ("::1", "0:0::1", True),
        ("::1", "127.0.0.1", False),
        ("127.0.0.1", EVERY, False),
        (EVERY, "127.0.0.1", False),
        ("::", EVERY, False),
    ],
)
def test_a_socket_is_found_by_its_address(bound: str, asked: str, found: bool) -> None:
    with listening(bound) as each:
        inherited = Inherited([each])
        port = each.getsockname()[1]
        assert inherited.take(asked, port + 1) is None
        assert (inherited.take(asked, port) is each) is found
        assert inherited.take(asked, port) is None, "it is given once"


def test_one_that_nobody_serves_is_an_error() -> None:
    with listening("127.0.0.1") as each:
        with pytest.raises(ConfigurationError, match=f"no setting names 127.0.0.1:{each.getsockname()[1]}"):
            Inherited([each]).refuse_rest()
        inherited = Inherited([each])
        inherited.take("127.0.0.1", each.getsockname()[1])
        inherited.refuse_rest()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "-1", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": ""},
    ],
)
def test_what_is_not_meant_for_this_process_is_left_alone(environment: dict[str, str]) -> None:
    assert from_systemd(environment) == []
    assert not environment, "no child believes it either"
