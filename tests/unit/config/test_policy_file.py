"""The policy file: every mistake is named with its line, and nothing else gets through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from authz_sidecar.config import document, policy_file, policy_model
from authz_sidecar.core.errors import ConfigurationError
from authz_sidecar.core.verdicts import Requirement

GOOD = """
version: 1
rules:
  - {methods: [POST], path: /students/, permission: students.add_student}
  - {methods: [PUT, PATCH], path: "/students/{id}/", permission: {any: [students.change_student, a.b]}}
  - {methods: [DELETE], path: "/students/{id}/", permission: {all: [students.delete_student, a.b]}}
  - {methods: [POST], path: "/webhooks/{rest:path}", allow: anyone}
  - {methods: [GET], path: /me/, allow: authenticated}
"""


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(tmp_path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        policy_file.load(write(tmp_path, text))
    return [str(problem).removeprefix(str(tmp_path) + "/") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("method", "path", "requirement"),
    [
        ("POST", "/students/", Requirement("any", ("students.add_student",))),
        ("PATCH", "/students/7/", Requirement("any", ("students.change_student", "a.b"))),
        ("DELETE", "/students/7/", Requirement("all", ("students.delete_student", "a.b"))),
        ("POST", "/webhooks/a/b", Requirement("anyone")),
        ("GET", "/me/", Requirement("authenticated")),
    ],
)
def test_each_form_of_rule(tmp_path: Path, method: str, path: str, requirement: Requirement) -> None:
    rule = policy_file.load(write(tmp_path, GOOD)).match(method, path)
    assert rule is not None
    assert rule.requirement == requirement


RULES = "version: 1\nrules:\n"
PATH = "'/a/{id}/{rest:path}'"
CONDITIONS = [
    (
        "own: pk",
        "rules[0]: own: 'pk' is no segment of /a/{id}/{rest:path}: write id",
    ),
    ("own: rest", "rules[0]: own: 'rest' is no segment of /a/{id}/{rest:path}: write id"),
    ("own: '{id}'", "rules[0]: own: '{id}' is no segment of /a/{id}/{rest:path}: write id"),
    ("own: '<int:id>'", "rules[0]: own: '<int:id>' is no segment of /a/{id}/{rest:path}: write id"),
    ("own: ':id'", "rules[0]: own: ':id' is no segment of /a/{id}/{rest:path}: write id"),
    ("own: ''", "rules[0].own: must not be empty"),
    ("own: id, allow: authenticated", "rules[0]: `allow` cannot stand beside `own`"),
    (
        "own: id, permission: {all: [a.b]}",
        "rules[0]: `own` beside `all` would be enough without them: write `own` under `all`, or `any` for "
        "`all`",
    ),
    (
        "permission: {any: [a.b, {own: id}]}",
        "rules[0].permission.any: write `own` beside `permission`: it is enough by itself",
    ),
    ("permission: {all: [a.b, {own: id}, {own: id}]}", "rules[0].permission.all: `own` is there twice"),
    (
        "permission: {all: [{own: id}]}",
        "rules[0].permission.all: needs a permission, too; `own` alone stands beside `methods` and `path`",
    ),
    ("scope: a, allow: anyone", "rules[0]: `allow: anyone` looks at no token: leave scope out"),
    ("scope: 'a b', own: id", "rules[0].scope: must be a scope without spaces and quotes"),
    ("scope: [], own: id", "rules[0].scope: must not be empty"),
    ("mode: shadw, own: id", "rules[0].mode: must be 'enforce' or 'shadow'"),
    ("max_staleness: 0, own: id", "rules[0].max_staleness: must be a number of seconds from 0.1 to 86400"),
    ("max_staleness: true, own: id", "rules[0].max_staleness: must be a number"),
    ("max_staleness: 5s, own: id", "rules[0].max_staleness: must be a number"),
    ("max_staleness: .nan, own: id", "rules[0].max_staleness: must be a number of seconds from 0.1 to 86400"),
    ("hosts: [], own: id", "rules[0].hosts: must not be empty"),
    (
        "hosts: [A.example], own: id",
        "rules[0].hosts: 'A.example' is no host in lower case, without scheme, port and trailing dot: "
        "write a.example",
    ),
    (
        "hosts: ['https://a.example:8443/x'], own: id",
        "rules[0].hosts: 'https://a.example:8443/x' is no host in lower case, without scheme, port and "
        "trailing dot: write a.example",
    ),
    (
        "hosts: ['bücher.example'], own: id",
        "rules[0].hosts: 'bücher.example' is no host in lower case, without scheme, port and trailing dot: "
        "write xn--bcher-kva.example",
    ),
    ("hosts: ['*.example'], own: id", "rules[0].hosts: *.example: there are no wildcards: name each host"),
    ("hosts: [a, a], own: id", "rules[0].hosts: one is there twice"),
    ("hosts: a, own: id", "rules[0].hosts: must be a list: [one, two]"),
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["policy.yaml:1: must be a mapping (key: value)"]),
        ("rules: []", ["policy.yaml:1: 'version' is missing"]),
        ("version: 1", ["policy.yaml:1: 'rules' is missing"]),
        ("version: 2\nrules: []", ["policy.yaml:1: version: must be 1"]),
        ("version: true\nrules: []", ["policy.yaml:1: version: must be 1"]),
        (
            "version: 1\nrules: []\nrule: []",
            ["policy.yaml:3: rule: 'rule' is not known here; remove it or mend its spelling"],
        ),
        ("version: 1\nrules: []\nrules: []", ["policy.yaml:3: rules: is there twice"]),
        (
            RULES + "- {methods: [POST], path: /a}",
            ["policy.yaml:3: rules[0]: needs one of `permission`, `own` and `allow`"],
        ),
        (
            RULES + "- {methods: [POST], path: /a, permission: a.b, allow: anyone}",
            ["policy.yaml:3: rules[0]: `allow` cannot stand beside `permission`"],
        ),
        (
            RULES + "- methods: [POST]\n  path: /a\n  permission: nodot",
            ["policy.yaml:5: rules[0].permission: must be a permission label like students.add_student"],
        ),
        (
            RULES + "- methods: [POST]\n  path: /a\n  permission: {any: [a.b], all: [a.b]}",
            [
                "policy.yaml:5: rules[0].permission: must be a label like students.add_student, "
                "or {any: [...]}, or {all: [...]}"
            ],
        ),
        (
            RULES + "- methods: [POST]\n  path: /a\n  allow: everybody",
            ["policy.yaml:5: rules[0].allow: must be 'anyone' or 'authenticated'"],
        ),
        (
            RULES + "- methods: [POST]\n  path: /a//{x:float}/\n  allow: anyone",
            [
                "policy.yaml:4: rules[0].path: an empty segment (//) never matches; {x:float}: a placeholder "
                "is a whole segment: {name}, {name:int}, {name:uuid} or {name:path}"
            ],
        ),
        *(
            (f"{RULES}- {{methods: [POST], path: {PATH}, {said}}}", [f"policy.yaml:3: {found}"])
            for said, found in CONDITIONS
        ),
        ("a: &x 1\nb: *x", ["policy.yaml: must not use YAML aliases (*name)"]),
        (b"\xff\xfe\x00", None),
        ("a: [", None),
        ("[" * 2000, None),
        ("a: !!python/object:os.system x", None),
        ("version: 2026-99-99", None),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(
    tmp_path: Path, text: str | bytes, found: list[str] | None
) -> None:
    result = problems(tmp_path, text)
    if found is None:
        assert len(result) == 1
        assert result[0].startswith("policy.yaml")
    else:
        assert result == found


TEST = "version: 1\nrules: []\ntests:\n"
QUOTE = 'the path needs quotes: path: "%s"'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (RULES + "- {methods: [POST], path: /students/{id}/, allow: anyone}", 3, QUOTE % "/students/{id}/"),
        (RULES + "- {methods: [POST],\n   path: /a/{id:int}, allow: anyone}", 4, QUOTE % "/a/{id:int}"),
        (RULES + "- {path: /a/{b}/c/{d}/, methods: [POST]}", 3, QUOTE % "/a/{b}/c/{d}/"),
        (RULES + "- {methods: [POST], path: {id}, allow: anyone}", 3, QUOTE % "/{id}"),
        (RULES + "- {methods: [POST], path: /a/[id], allow: anyone}", 3, QUOTE % "/a/{id}"),
        (TEST + "- {method: GET, path: /a/?b=1, expect: granted}", 4, QUOTE % "/a/?b=1"),
        (RULES + "- methods: [POST]\n  path: *\n  allow: anyone", 4, "cannot be read as YAML"),
        ("version: 1\n\trules: []", 2, "is indented with a tab: use spaces"),
        ("version: 1\nrules: [", 2, "what is opened here is never closed"),
        ("version: 1\nrules: 'x", 2, "what is opened here is never closed"),
        ("version: 1\nrules: x: y", 2, "cannot be read as YAML"),
        ("version: 1\n---\nrules: []", 2, "a second document begins here: write one"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line_and_mend(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(f"policy.yaml:{line}: ")
    assert said in problem


WORDS = ("flow", "token", "scalar", "node", "mark", "stream", "constructor", "input", "valid ", "tag:")
"""What the libraries below say, and no operator understands."""


@pytest.mark.parametrize(
    "text",
    [
        "version: [1]\nrules: 3",
        "version: 1\nrules: {a: b}",
        "version: 1\nrules: []\nallow_method_override: 1",
        "version: 1.5\nrules: [x, 3, null]",
        RULES + "- {methods: POST, path: 3, allow: [x]}",
        RULES + "- {methods: [], path: /a, permission: {any: []}}",
        RULES + "- {methods: [fetch, 3], path: /a, permission: {any: [3, x]}}",
        RULES + f"- {{methods: [POST], path: /a, permission: a.{'b' * 300}}}",
        RULES + "- methods: [POST]\n  path: <int:pk>\n  allow: everybody",
        "a: [",
        "a: !!python/object:os.system x",
        "version: 2026-99-99",
        "? [a]\n: b",
        "a: @x",
        "a: %x",
        "a: *x",
        "a: {b: 1\nc: 2",
        b"\xff\xfe\x00",
    ],
)
def test_no_message_speaks_a_library_s_language(tmp_path: Path, text: str | bytes) -> None:
    for problem in problems(tmp_path, text):
        assert not [word for word in WORDS if word in problem.lower()], problem


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    rules = "- methods: [FETCH]\n  path: a//{x\n  permission: x\n- {methods: [], path: /b, allow: anyone}"
    text = "version: 3\nrules:\n" + rules
    assert [problem.split(": ")[0] for problem in problems(tmp_path, text)] == [
        f"policy.yaml:{line}" for line in (1, 3, 4, 5, 6)
    ]


def test_two_rules_for_the_same_requests_are_an_error_that_names_both(tmp_path: Path) -> None:
    rule = "- methods: [POST]\n  path: /a/{%s}\n  allow: anyone\n"
    (problem,) = problems(tmp_path, RULES + rule % "x" + rule % "y")
    assert problem.startswith("policy.yaml:7: rules[1].path: POST /a/{y}")
    assert "policy.yaml:4: rules[0].path" in problem


@pytest.mark.parametrize("make", [lambda path: path / "missing.yaml", lambda path: path])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, make: object) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        policy_file.load(make(tmp_path))  # type: ignore[operator]  # a lambda from the table


def test_a_huge_file_is_an_error(tmp_path: Path) -> None:
    assert "larger than" in problems(tmp_path, b"#" * (document.MAX_BYTES + 1))[0]


def test_tests_stand_beside_the_rules_and_are_not_part_of_the_policy(tmp_path: Path) -> None:
    plain = policy_file.read(write(tmp_path, GOOD))
    test = "tests:\n  - {method: POST, path: /students/, permissions: [], expect: permission_denied}\n"
    tested = policy_file.read(write(tmp_path, GOOD + test))
    assert plain.tests == ()
    assert [each.place.rpartition("/")[2] for each in tested.tests] == ["policy.yaml:10: tests[0]"]
    assert tested.policy.digest == plain.policy.digest


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ("{method: POST, path: /a}", "policy.yaml:4: tests[0]: 'expect' is missing"),
        (
            "{method: POST, path: /a, expect: denied}",
            "policy.yaml:4: tests[0].expect: there is no code 'denied': one of safe_method,",
        ),
        (
            "{method: POST, path: /a, expect: permision_denied}",
            "policy.yaml:4: tests[0].expect: there is no code 'permision_denied': "
            "did you mean permission_denied?",
        ),
        ("{method: '', path: /a, expect: granted}", "policy.yaml:4: tests[0].method: must not be empty"),
        (
            "{method: PUT, path: /a, permissions: [x], expect: granted}",
            "policy.yaml:4: tests[0].permissions[0]: must be a permission label like students.add_student",
        ),
        (
            "{method: PUT, path: /a, expct: granted, expect: granted}",
            "policy.yaml:4: tests[0].expct: 'expct' is",
        ),
        (
            "{method: PUT, path: /a, claims: [x], expect: granted}",
            "policy.yaml:4: tests[0].claims: must be a mapping (key: value)",
        ),
    ],
)
def test_a_mistake_in_a_test_is_named_with_its_place(tmp_path: Path, test: str, found: str) -> None:
    (problem,) = problems(tmp_path, f"{TEST}  - {test}")
    assert problem.startswith(found)


def test_the_shipped_policy_loads() -> None:
    shipped = Path(__file__).parents[3] / "compose" / "policy.yaml"
    rule = policy_file.load(shipped).match("PATCH", "/students/1/")
    assert rule is not None
    assert rule.requirement == Requirement("any", ("students.change_student",))


def test_the_schema_is_json_and_closed() -> None:
    schema = json.loads(json.dumps(policy_model.schema()))
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {"version", "rules", "allow_method_override", "authzen", "tests"}
