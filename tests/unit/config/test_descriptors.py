"""How many connections fit into the limit of file descriptors."""

from __future__ import annotations

import logging
import resource

import pytest

from authz_sidecar.config.descriptors import RESERVE, fitting
from authz_sidecar.config.limits import ProxyLimits


class Kernel:
    """Stands in for the process's limit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
        self.limit = soft, hard
        monkeypatch.setattr(resource, "getrlimit", lambda _: self.limit)
        monkeypatch.setattr(resource, "setrlimit", self._set)

    def _set(self, _: int, limit: tuple[int, int]) -> None:
        self.limit = limit


CASES = {
    "plenty": (100_000, 100_000, 20_000, 100_000),
    "no limit at all": (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 20_000, resource.RLIM_INFINITY),
    "raised as far as need be": (1024, 100_000, 20_000, 40_064),
    "raised, without a hard limit": (1024, resource.RLIM_INFINITY, 20_000, 40_064),
    "raised, and still short": (1024, 4096, 2016, 4096),
    "short": (1024, 1024, 480, 1024),
    "next to nothing": (40, 40, 1, 40),
}


@pytest.mark.parametrize("case", CASES)
def test_what_fits(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, case: str) -> None:
    soft, hard, connections, then = CASES[case]
    kernel = Kernel(monkeypatch, soft, hard)
    with caplog.at_level(logging.WARNING):
        limits = fitting(ProxyLimits())
    assert (limits.connections, kernel.limit) == (connections, (then, hard))
    assert bool(caplog.records) is (connections < 20_000)
    if connections > 1 and limits.connections < 20_000:
        assert 2 * limits.connections + RESERVE <= then
        assert limits.upstream_connections <= limits.connections


def test_each_port_that_decides_needs_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(monkeypatch, 1024, 1024)
    assert fitting(ProxyLimits(), ports=2).connections == (1024 - RESERVE) // 3
