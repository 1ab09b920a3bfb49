"""Policy: the most specific rule wins, exactly as a naive reading of the rules says."""

from __future__ import annotations

import itertools
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_sidecar.core import policy
from authz_sidecar.core.errors import ConfigurationError
from authz_sidecar.core.policy import Policy, RuleSource
from authz_sidecar.core.rules import SAFE_METHODS
from authz_sidecar.core.verdicts import Requirement

NEEDS = Requirement("any", ("a.b",))


def source(methods: str, path: str, place: str = "here", requirement: Requirement = NEEDS) -> RuleSource:
    return RuleSource(place, tuple(methods.split()), path, requirement)


def compiled(*paths: str, method: str = "POST") -> Policy:
    return policy.compile(source(method, path) for path in paths)


def matched(rules: Policy, path: str, method: str = "POST") -> str | None:
    rule = rules.match(method, path)
    return rule.path if rule else None


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("/", ["/"], ["/a", "/a/"]),
        ("/students/", ["/students/"], ["/students", "/Students/", "/students/1", "/a/students/"]),
        (
            "/students/{id}/",
            ["/students/1/", "/students/é x/"],
            ["/students/", "/students/1", "/students/1/2/"],
        ),
        ("/students/{id}", ["/students/1"], ["/students/", "/students/1/"]),
        ("/s/{id:int}/", ["/s/0/", "/s/007/"], ["/s/-1/", "/s/1a/", "/s/٣/", "/s/²/", "/s/1.0/", "/s//"]),
        (
            "/s/{id:uuid}/",
            ["/s/8c7f4b52-1d2e-4f7a-9d3c-0a1b2c3d4e5f/", "/s/8C7F4B52-1D2E-4F7A-9D3C-0A1B2C3D4E5F/"],
            [
                "/s/8c7f4b521d2e4f7a9d3c0a1b2c3d4e5f/",
                "/s/{8c7f4b52-1d2e-4f7a-9d3c-0a1b2c3d4e5f}/",
                "/s/8c7f4b52-1d2e-4f7a-9d3c-0a1b2c3d4e5/",
                "/s/8c7f4b52-1d2e-4f7a-9d3c-0a1b2c3d4e5g/",
                "/s/8c7f4b52-1d2e-4f7a-9d3c-0a1b2c3d4e5f\n/",
                "/s/٣c7f4b52-1d2e-4f7a-9d3c-0a1b2c3d4e5f/",
                "/s/7/",
            ],
        ),
        ("/w/{rest:path}", ["/w/", "/w/a", "/w/a/b/", "/w/a/b"], ["/w", "/x/a"]),
        ("/{rest:path}", ["/", "/a", "/a/b/c/"], []),
        ("/café/", ["/café/"], ["/cafe/", "/cafe\u0301/"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], other: list[str]) -> None:
    rules = compiled(pattern)
    assert [path for path in matching + other if matched(rules, path)] == matching


@pytest.mark.parametrize(
    ("patterns", "path", "wanted"),
    [
        (["/s/{x}/", "/s/special/"], "/s/special/", "/s/special/"),
        (["/s/{x}/", "/s/{x:int}/"], "/s/1/", "/s/{x:int}/"),
        (["/s/{x:int}/", "/s/1/"], "/s/1/", "/s/1/"),
        (["/s/{x}/", "/s/{x:uuid}/", "/s/{x:int}/"], f"/s/{UUID(int=7)}/", "/s/{x:uuid}/"),
        (["/s/{x:uuid}/", f"/s/{UUID(int=7)}/"], f"/s/{UUID(int=7)}/", f"/s/{UUID(int=7)}/"),
        (["/s/{x:path}", "/s/{x}/"], "/s/a/", "/s/{x}/"),
        (["/s/{x:path}", "/s/{x}/"], "/s/a/b", "/s/{x:path}"),
        (["/s/{x}/photo/", "/s/special/{y}/"], "/s/special/photo/", "/s/special/{y}/"),
        (["/s/special/{y:path}", "/s/{x}/photo/"], "/s/special/photo/", "/s/special/{y:path}"),
        (["/s/special/a/", "/s/{x}/b/"], "/s/special/b/", "/s/{x}/b/"),
        (["/s/1/a/", "/s/{x:int}/b/", "/{x}/1/c/", "/{r:path}"], "/s/1/d/", "/{r:path}"),
    ],
)
def test_the_most_specific_rule_wins(patterns: list[str], path: str, wanted: str) -> None:
    for order in itertools.permutations(patterns):
        assert matched(compiled(*order), path) == wanted


def test_rules_are_kept_apart_by_method() -> None:
    rules = policy.compile([source("POST PUT", "/a/"), source("DELETE", "/{x}/")])
    assert [rules.match(method, "/a/") is not None for method in ("POST", "PUT", "DELETE", "PATCH")] == [
        True,
        True,
        True,
        False,
    ]
    assert [rule.label for rule in rules.rules] == ["POST /a/", "PUT /a/", "DELETE /{x}/"]


@pytest.mark.parametrize(
    ("rules", "governed"),
    [
        (compiled("/a/"), set()),
        (compiled("/a/", method="GET"), {"GET", "HEAD"}),
        (compiled("/a/", method="OPTIONS"), {"OPTIONS"}),
        (policy.compile([]), set()),
    ],
)
def test_a_safe_method_is_governed_only_when_a_rule_names_it(rules: Policy, governed: set[str]) -> None:
    always = {"POST", "PUT", "PATCH", "DELETE", "PURGE", "get"}
    assert {
        method for method in always | SAFE_METHODS if rules.elsewhere.governs(method)
    } == always | governed


def test_a_get_rule_covers_head() -> None:
    rule = compiled("/a/", method="GET").match("HEAD", "/a/")
    assert rule is not None
    assert rule.label == "GET /a/"


@pytest.mark.parametrize(
    ("first", "second"),
    [("/a/{x}/", "/a/{y}/"), ("/a/{x:int}", "/a/{y:int}"), ("/{x:path}", "/{y:path}"), ("/a/", "/a/")],
)
def test_two_rules_for_the_same_requests_are_an_error_that_names_both(first: str, second: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        policy.compile([source("POST PUT", first, "rule 1"), source("POST", second, "rule 2")])
    (problem,) = caught.value.problems
    assert problem.place == "rule 2"
    assert problem.message == f"POST {second} can match the same requests as POST {first} (rule 1)"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("students/", "starts with /"),
        ("", "starts with /"),
        ("/a//b", "empty segment"),
        ("/a/../b", "dot segment"),
        ("/./", "dot segment"),
        ("/{x:path}/a", "last segment"),
        ("/a{x}/", "whole segment"),
        ("/{x:float}/", r"write /{x}/"),
        ("/a-{x}/", "whole segment"),
        ("/{1x}/", "whole segment"),
        ("/{}/", "whole segment"),
        ("/*/", r"write /{name}/"),
        ("/a*/", "no wildcards"),
        ("/%41/", "decoded"),
        ("/a?b", "decoded"),
        ("/a;b", "decoded"),
        ("/a\\b", "decoded"),
        ("/a\nb", "decoded"),
        ("/{x}/{x}/", "a name of its own"),
    ],
)
def test_a_path_that_cannot_be_meant_is_an_error(path: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        compiled(path)


def test_methods_and_paths_are_reported_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        policy.compile([source("HEAD PURGE", "a", "1"), source("post", "/../*", "2")])
    assert [problem.place for problem in caught.value.problems] == ["1", "1", "1", "2", "2", "2"]


def test_the_digest_is_of_what_the_rules_say() -> None:
    one, two = source("POST", "/a/"), source("PUT PATCH", "/b/")
    digest = policy.compile([one, two]).digest
    same = policy.compile([source("PATCH", "/b/", "elsewhere"), source("PUT", "/b/"), one]).digest
    assert same == digest
    others = [
        policy.compile([one]),
        policy.compile([one, two], allow_method_override=True),
        policy.compile([source("POST", "/a/", requirement=Requirement("anyone")), two]),
        policy.compile([source("POST", "/a/", requirement=Requirement("all", ("a.b",))), two]),
    ]
    assert digest not in {other.digest for other in others}


ID = str(UUID(int=9))
RANKS = {"literal": 0, "int": 1, "uuid": 1, "segment": 2, "path": 3}


def kind(segment: str) -> str:
    if not segment.startswith("{"):
        return "literal"
    return segment.rstrip("}").partition(":")[2] or "segment"


def fits(pattern: list[str], path: list[str]) -> bool:
    """The plain reading of a pattern."""
    if kind(pattern[-1]) == "path":
        return len(path) >= len(pattern) and fits([*pattern[:-1], ""], [*path[: len(pattern) - 1], ""])
    tests = {
        "literal": lambda wanted, given: wanted == given,
        "int": lambda _, given: given.isascii() and given.isdigit(),
        "uuid": lambda _, given: given == ID,
        "segment": lambda _, given: given != "",
    }
    return len(pattern) == len(path) and all(tests[kind(a)](a, b) for a, b in zip(pattern, path, strict=True))


SEGMENTS = st.sampled_from(["a", "1", ID, "{x:int}", "{x:uuid}", "{x}"])
PATTERNS = st.builds(
    lambda middle, end: [*middle, end],
    st.lists(SEGMENTS, max_size=3),
    st.sampled_from(["a", "1", "{y:int}", "{y:uuid}", "{y}", "", "{y:path}"]),
)
PATHS = st.builds(
    lambda middle, end: [*middle, end],
    st.lists(st.sampled_from(["a", "1", "b", ID]), max_size=3),
    st.sampled_from(["a", "1", "b", ID, ""]),
)


def named(pattern: list[str]) -> str:
    """A pattern with a name of its own for every placeholder."""
    return "/" + "/".join(
        segment.replace("{x", f"{{x{index}").replace("{y", f"{{y{index}")
        for index, segment in enumerate(pattern)
    )


@given(st.lists(PATTERNS, max_size=8), PATHS)
def test_matching_agrees_with_the_plain_reading(patterns: list[list[str]], path: list[str]) -> None:
    unique = list({named(pattern).replace("y", "x"): pattern for pattern in patterns}.values())
    rules = compiled(*map(named, unique))
    fitting = [pattern for pattern in unique if fits(pattern, path)]
    best = min(fitting, key=lambda pattern: [RANKS[kind(segment)] for segment in pattern], default=None)
    assert matched(rules, "/" + "/".join(path)) == (named(best) if best else None)
