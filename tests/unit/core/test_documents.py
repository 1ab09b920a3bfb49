"""Documents are read field by field, and states have one spelling."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.core import documents
from authz_sidecar.core.entities import EntityState, GroupState, UserState
from authz_sidecar.core.errors import MalformedMessage


@pytest.mark.parametrize("text", [None, "", "-1", "+1", "1.0", " 1", "1\n", "²", "9" * 17, str(2**53)])
def test_header_number_is_digits_only(text: str | None) -> None:
    with pytest.raises(MalformedMessage, match="Authz-Head"):
        documents.parse_integer(text, "Authz-Head")


labels = st.frozensets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), max_size=5)
ends = st.none() | st.integers(0, 2**53 - 1)
states = (
    st.none()
    | st.builds(GroupState, labels)
    | st.builds(UserState, st.booleans(), st.booleans(), labels, labels, st.integers(0, 2**53 - 1), ends)
)


@given(states)
def test_state_survives_the_store(state: EntityState) -> None:
    kind = "group" if isinstance(state, GroupState) else "user"
    assert documents.decode_state(kind, documents.encode_state(state)) == state
    assert documents.decode_state(kind, documents.encode_state(state).encode()) == state


def test_equal_states_have_one_spelling() -> None:
    first = UserState(True, False, frozenset(["b", "a", "ö"]), frozenset(["2", "10"]), 3)
    assert documents.encode_state(first) == (
        '{"active":true,"groups":["10","2"],"permissions":["a","b","ö"],"superuser":false,"token_generation":3}'
    )


def test_the_instant_of_an_end_is_part_of_a_state_only_where_there_was_one() -> None:
    ended = UserState(True, False, frozenset(), frozenset(), 3, 1790000000)
    text = documents.encode_state(ended)
    assert text.endswith(',"token_generation":3,"tokens_not_before":1790000000}')
    assert documents.decode_state("user", text) == ended
    never = documents.encode_state(replace(ended, tokens_not_before=None))
    assert "tokens_not_before" not in never
    assert documents.decode_state("user", never) == replace(ended, tokens_not_before=None)
