"""Labels: what is one, and what is said of what is none."""

import pytest

from authz_changelog.labels import BadLabel, Label, parse


@pytest.mark.parametrize("text", ["students.add_student", "a.b", "_x.Y9", f"{'a' * 100}.{'b' * 100}"])
def test_a_label_has_two_names(text: str) -> None:
    assert str(parse(text)) == text


def test_the_name_for_people_is_made_of_the_codename() -> None:
    assert Label("students", "add_student").default_name == "Can add student"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("add_student", "has no dot: write app_label.codename, like students.add_student"),
        ("export", "has no dot: write app_label.codename, like students.export"),
        ("", "'' has no dot"),
        ("add student", "has no dot: write app_label.codename, like students.add_student"),
        ("a.b.c", "with one dot between them"),
        (".add", "two names"),
        ("students.", "two names"),
        ("students.add-student", "letters, digits and _"),
        ("students.add_student\n", "letters, digits and _"),
        ("stüdents.add", "letters, digits and _"),
        (f"a.{'b' * 101}", "at most 100 characters"),
        (7, "7 is no label"),
        (None, "None is no label"),
        (["a.b"], "is no label"),
    ],
)
def test_what_is_none_is_told_with_the_mend(text: object, says: str) -> None:
    with pytest.raises(BadLabel) as refused:
        parse(text)
    assert says in str(refused.value)
