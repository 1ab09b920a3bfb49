"""Several processes: what they may be told, and that together they take no more than one would."""

from __future__ import annotations

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.config import descriptors, reading
from authz_sidecar.config.limits import ProxyLimits, divided
from authz_sidecar.core.errors import ConfigurationError
from tests.unit.config.required import REQUIRED


@given(st.integers(1, 64), st.tuples(*[st.integers(64, 10**9)] * 3))
def test_limits_are_divided_exactly(workers: int, limits: tuple[int, int, int]) -> None:
    connections, upstream, buffer = limits
    whole = ProxyLimits(connections=connections, upstream_connections=upstream, buffer_bytes=buffer)
    parts = list(divided(whole, workers))
    for name in ("connections", "upstream_connections", "buffer_bytes"):
        each = [getattr(part, name) for part in parts]
        assert sum(each) == getattr(whole, name)
        assert max(each) - min(each) <= 1
        assert min(each) >= 1
    assert {part.head_seconds for part in parts} == {whole.head_seconds}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"AUTHZ_WORKERS": "0"}, "AUTHZ_WORKERS: must be a whole number from 1 to 256, not '0'"),
        ({"AUTHZ_WORKERS": "two"}, "AUTHZ_WORKERS: must be a whole number from 1 to 256, not 'two'"),
        ({"AUTHZ_WORKERS": "257"}, "AUTHZ_WORKERS: must be a whole number from 1 to 256, not '257'"),
        ({"AUTHZ_WORKERS": "-2"}, "AUTHZ_WORKERS: must be a whole number from 1 to 256, not '-2'"),
        (
            {"AUTHZ_WORKERS": "4", "AUTHZ_MAX_CONNECTIONS": "3"},
            "AUTHZ_WORKERS: must not be more than AUTHZ_MAX_CONNECTIONS: the limit is divided among them",
        ),
        (
            {"AUTHZ_WORKERS": "4", "AUTHZ_MAX_UPSTREAM_CONNECTIONS": "3"},
            "AUTHZ_WORKERS: must not be more than AUTHZ_MAX_UPSTREAM_CONNECTIONS: "
            "the limit is divided among them",
        ),
    ],
)
def test_what_cannot_be(settings: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        reading.load({}, REQUIRED | settings)
    assert [str(each) for each in caught.value.problems] == [problem]


def test_one_is_the_default_and_goes_with_everything() -> None:
    settings = reading.load({}, REQUIRED | {"AUTHZ_HANDOVER": "/run/handover.sock"})
    assert settings.workers == 1


def test_more_than_the_descriptors_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    descriptors.demand(36)
    with pytest.raises(ConfigurationError, match=r"^AUTHZ_WORKERS: only 36 fit into the limit of 100 file"):
        descriptors.demand(37)
