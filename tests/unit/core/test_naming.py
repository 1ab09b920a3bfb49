"""What the log calls whom a token names: no subject of one field is another's, whatever it says."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.core import naming
from authz_sidecar.core.naming import SEPARATOR, Fields
from authz_sidecar.core.verdicts import Identity


def whose(subject: str, field: str | None) -> Identity:
    return Identity(subject, "key", inf, None, None, None, user_field=field)


def key(subject: str, field: str | None, fields: Fields) -> str | None:
    found = naming.entity_key(whose(subject, field), fields)
    return None if found is None else found.key


@pytest.mark.parametrize(
    ("field", "fields", "expected"),
    [
        (None, ("pk",), "17"),
        (None, ("email", "pk"), "17"),
        (None, (), "17"),
        (None, None, "17"),
        ("pk", ("pk",), "17"),
        ("pk", ("pk", "email"), "17"),
        ("email", ("pk", "email"), f"email{SEPARATOR}17"),
        ("pk", ("email", "pk"), f"pk{SEPARATOR}17"),
        ("email", ("pk",), None),
        ("email", (), None),
        ("email", None, "17"),
    ],
)
def test_what_a_user_is_called(field: str | None, fields: Fields, expected: str | None) -> None:
    assert key("17", field, fields) == expected


names = st.sampled_from(["pk", "email", "e", "mail", "username"])
claims = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(
    st.lists(names, min_size=1, unique=True),
    st.tuples(names, claims | st.sampled_from(["email:a", "pk:17", "e", "mail"])),
    st.tuples(names, claims | st.sampled_from(["a", "17", "mail:a", "email"])),
)
def test_no_two_subjects_are_called_the_same(
    fields: list[str], one: tuple[str, str], other: tuple[str, str]
) -> None:
    found = [key(subject, field, tuple(fields)) for field, subject in (one, other)]
    assert one == other or None in found or found[0] != found[1]
    for each, (_, said) in zip(found, (one, other), strict=True):
        assert each is None or naming.subject(each) == said


@pytest.mark.parametrize(
    ("told", "asked", "holds", "wrong"),
    [
        (None, (), None, ""),
        (None, ("pk",), None, ""),
        (
            None,
            ("email", "pk"),
            (),
            "the User service does not say whether it names its users by email and pk",
        ),
        (("pk",), ("pk",), ("pk",), ""),
        (("pk",), (), ("pk",), ""),
        (("pk", "email"), ("email",), ("pk", "email"), ""),
        (("pk",), ("email",), ("pk",), "the User service names its users by pk, not by email"),
        (
            ("pk", "username"),
            ("email", "pk", "uuid"),
            ("pk", "username"),
            "the User service names its users by pk, username, not by email, uuid",
        ),
    ],
)
def test_what_is_agreed_and_what_is_wrong(
    told: Fields, asked: tuple[str, ...], holds: Fields, wrong: str
) -> None:
    assert naming.agreed(told, asked) == holds
    assert naming.missing(naming.agreed(told, asked), asked) == wrong
