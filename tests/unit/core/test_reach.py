"""Which rules can count at all: compared with every path of a small world."""

from __future__ import annotations

from itertools import product
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from authz_sidecar.core import pattern, policy, reach
from authz_sidecar.core.errors import ConfigurationError
from authz_sidecar.core.policy import Policy, RuleSource
from authz_sidecar.core.verdicts import Requirement


def compiled(*paths: str) -> Policy:
    anyone = Requirement("anyone")
    return policy.compile(RuleSource(path, ("POST",), path, anyone) for path in paths)


def unreachable(*paths: str) -> list[str]:
    made = compiled(*paths)
    return [rule.path for rule in made.rules if reach.example(made, rule) is None]


def test_rules_that_leave_each_other_something_all_count() -> None:
    assert unreachable("/a/{x}", "/a/{x:int}", "/a/7", "/a/{r:path}", "/a/x", "/a/1", "/{r:path}") == []


def test_a_rest_of_which_everything_is_taken_never_counts() -> None:
    assert unreachable("/a/{r:path}", "/a/", "/a/{x}", "/a/{x}/{r:path}") == ["/a/{r:path}"]
    assert unreachable("/{r:path}", "/", "/{x}", "/{x}/{r:path}") == ["/{r:path}"]


def test_what_is_left_is_the_example() -> None:
    made = compiled("/a/{r:path}", "/a/", "/a/{x}")
    assert reach.example(made, made.rules[0]) == "/a/x/"


ID = str(UUID(int=9))
SEGMENTS = st.sampled_from(["a", "7", "{x}", "{x:int}", "{x:uuid}"])
PATHS = st.builds(
    lambda segments, end: "/" + "/".join([*(s.replace("x", f"x{i}") for i, s in enumerate(segments)), *end]),
    st.lists(SEGMENTS, max_size=2),
    st.sampled_from([["a"], ["{x}"], ["{x:int}"], ["{x:uuid}"], ["{r:path}"], [""]]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PATHS, min_size=1, max_size=7, unique=True))
def test_exactly_those_without_an_example_count_for_nothing(paths: list[str]) -> None:
    try:
        made = compiled(*paths)
    except ConfigurationError:  # two that are told apart by nothing
        return
    world = [
        "/" + "/".join(each) for n in range(1, 5) for each in product(["a", "7", "8", "b", ID], repeat=n)
    ]
    counted = {made.match("POST", path) for path in [*world, "/", *(f"{path}/" for path in world)]}
    for rule in made.rules:
        found = reach.example(made, rule)
        assert (found is not None) is (rule in counted)
        assert found is None or made.match("POST", found) is rule


NEEDS = {name: Requirement("any", (f"a.{name}",)) for name in "pq"}


def shadowed(*rules: str) -> list[tuple[str, str, str]]:
    """Each rule as "p /path": what it asks for, and where."""
    sources = [RuleSource("", ("POST",), path, NEEDS[name]) for name, path in map(str.split, rules)]
    return [(each.rule.path, each.by.path, each.example) for each in reach.shadows(policy.compile(sources))]


def test_a_rule_that_loses_paths_to_one_that_is_no_special_case_of_it() -> None:
    assert shadowed("p /a/{x}/c", "q /a/b/{r:path}") == [("/a/{x}/c", "/a/b/{r:path}", "/a/b/c")]
    assert shadowed("q /a/b/{r:path}", "p /a/{x}/c") == [("/a/{x}/c", "/a/b/{r:path}", "/a/b/c")]
    assert shadowed("p /{x:int}/{y}", "q /{x}/b") == [("/{x}/b", "/{x:int}/{y}", "/1/b")]


def test_special_cases_are_what_the_order_of_rules_is_for() -> None:
    assert shadowed("p /a/{x}/", "q /a/{x:int}/", "p /a/7/", "q /{r:path}", "p /b/") == []


def test_rules_that_ask_for_the_same_do_no_harm() -> None:
    assert shadowed("p /a/{x}/c", "p /a/b/{r:path}") == []


@settings(max_examples=300, deadline=None)
@given(PATHS, PATHS)
def test_examples_are_true(one: str, other: str) -> None:
    try:
        sources = [
            RuleSource("", ("POST",), path, NEEDS[name]) for name, path in ((("p"), one), ("q", other))
        ]
        made = policy.compile(sources)
    except ConfigurationError:
        return
    for each in reach.shadows(made):
        texts = each.example.split("/")[1:]
        assert pattern.matches(pattern.parse(each.rule.path), texts)
        assert made.match("POST", each.example) is each.by
