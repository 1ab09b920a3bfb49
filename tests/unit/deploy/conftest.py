"""What the chart renders, once for all tests of a file."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lab import manifests
from lab.stack.binaries import find

Object = dict[str, Any]

ONLY_THE_USER_SERVICE = ("service.enabled=false",)
ONLY_THE_SIDECAR = ("userService.enabled=false", "sidecar.userServiceUrl=https://users.example.org")


@pytest.fixture(scope="session")
def helm() -> str:
    found = find("helm")
    if found is None:
        pytest.skip("helm is not installed: python -m lab.setup.bootstrap helm")
    return found


@pytest.fixture(scope="session")
def rendered(helm: str) -> dict[str, list[Object]]:
    """All objects, by what the chart was asked for."""
    texts = {
        "managed": manifests.render([manifests.EXAMPLE]),
        "operators": manifests.render([manifests.EXAMPLE, manifests.OPERATORS]),
        "user service": manifests.render([manifests.EXAMPLE], *ONLY_THE_USER_SERVICE),
        "sidecar": manifests.render([manifests.EXAMPLE], *ONLY_THE_SIDECAR),
    }
    return {name: list(filter(None, yaml.safe_load_all(text))) for name, text in texts.items()}
