"""Rules that nearly matched, and what was in the way of each."""

from __future__ import annotations

import pytest

from authz_sidecar.core import policy
from authz_sidecar.core.closest import MOST, closest
from authz_sidecar.core.policy import RuleSource
from authz_sidecar.core.verdicts import Requirement

ANYONE = Requirement("anyone")
RULES = policy.compile(
    RuleSource(path, tuple(methods.split()), path, ANYONE)
    for methods, path in [
        ("POST", "/students/"),
        ("PUT PATCH", "/students/{id:int}/"),
        ("PATCH", "/students/special/"),
        ("DELETE", "/students/{id}"),
        ("POST", "/files/{rest:path}"),
        ("GET", "/secret/"),
    ]
)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("POST /students", {"POST /students/": "its path ends in a slash"}),
        (
            "DELETE /students/3/",
            {
                "DELETE /students/{id}": "its path does not end in a slash",
                "PUT /students/{id:int}/": "it is for PUT",
                "PATCH /students/{id:int}/": "it is for PATCH",
            },
        ),
        (
            "PATCH /students/x/",
            {
                "PATCH /students/{id:int}/": "it has {id:int} where the request has x",
                "PATCH /students/special/": "it has special where the request has x",
            },
        ),
        ("POST /STUDENTS/", {"POST /students/": "upper and lower case differ"}),
        (
            "PATCH /students/special/",
            {"PATCH /students/{id:int}/": "it has {id:int} where the request has special"},
        ),
        ("POST /files", {"POST /files/{rest:path}": "its path ends in a slash"}),
        ("HEAD /secret", {"GET /secret/": "its path ends in a slash"}),
        ("POST /nothing/of/the/kind", {}),
        ("PUT /", {}),
    ],
)
def test_what_was_in_the_way(asked: str, found: dict[str, str]) -> None:
    method, path = asked.split()
    assert {each.rule.label: each.why for each in closest(RULES, method, path)} == found


def test_a_rule_that_a_more_specific_one_takes_the_path_from_comes_first() -> None:
    rules = policy.compile(
        RuleSource(path, ("POST",), path, ANYONE) for path in ("/a/{x}", "/a/b", "/a/{r:path}", "/a/b/")
    )
    assert [(each.rule.path, each.why) for each in closest(rules, "POST", "/a/b")] == [
        ("/a/{x}", "a more specific rule counts"),
        ("/a/{r:path}", "a more specific rule counts"),
        ("/a/b/", "its path ends in a slash"),
    ]


def test_a_rule_of_another_host_says_whose_it_is() -> None:
    rules = policy.compile(
        [
            RuleSource("1", ("POST",), "/a", ANYONE, hosts=("one", "two")),
            RuleSource("2", ("POST",), "/a", ANYONE),
        ]
    )

    def why(host: str) -> dict[str, str]:
        return {each.rule.label: each.why for each in closest(rules, "POST", "/a", host)}

    assert why("one") == {"POST /a": "it names no host, and one has rules of its own"}
    assert why("three") == {
        "POST one,two/a": "it is for one, two",
        "POST /a": "it names no host, and other rules do",
    }


def test_a_long_policy_makes_no_long_answer() -> None:
    rules = policy.compile(RuleSource("", ("POST",), f"/a/{n}", ANYONE) for n in range(500))
    assert len(closest(rules, "POST", "/a/x")) == MOST
