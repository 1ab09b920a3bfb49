"""The tables of states are whole: each state is reached, and all but the last lead on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from authz_sidecar.proxy.states import AFTER, CLIENT_AFTER, CLOSED, DECIDING, HEAD, OVER


@pytest.mark.parametrize(("table", "first", "last"), [(AFTER, DECIDING, OVER), (CLIENT_AFTER, HEAD, CLOSED)])
def test_every_state_is_on_a_way_from_the_first_to_the_last(
    table: Mapping[Any, frozenset[Any]], first: Any, last: Any
) -> None:
    assert set(table) == set(type(first))
    assert {state for state in table if not table[state]} == {last}
    assert all(last in table[state] for state in set(table) - {last})
    assert {first}.union(*table.values()) == set(table)
