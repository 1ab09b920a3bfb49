"""A request goes straight through the byte path: it returns to few files that it has left before."""

from __future__ import annotations

import pytest

from lab.walk import of_the_byte_path, returns_of
from lab.wire.states import WATCHABLE

pytestmark = pytest.mark.skipif(not WATCHABLE, reason="compiled calls cannot be watched")

MOST_RETURNS = {"an allowed POST": 36, "a refused POST": 16}


async def test_there_are_few_returns() -> None:
    found = {title: returns_of(walk) for title, walk in (await of_the_byte_path()).items()}
    assert found.keys() == MOST_RETURNS.keys()
    assert {title for title in found if found[title] > MOST_RETURNS[title]} == set(), found
