"""Where traces go is only accepted where something can send them."""

from __future__ import annotations

import pytest

from authz_sidecar.config import parsers


def test_a_collector() -> None:
    assert parsers.collector("http://127.0.0.1:4318/") == "http://127.0.0.1:4318"


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(parsers, "find_spec", nothing)
    with pytest.raises(ValueError, match=r"pip install 'authz-sidecar\[otel\]'"):
        parsers.collector("http://127.0.0.1:4318")
