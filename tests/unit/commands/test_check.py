"""`authz-sidecar check`: the table of routes, the policy's own tests, what it finds, and its exit codes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from authz_sidecar import cli

ROOT = Path(__file__).parents[3]
RULES = """version: 1
rules:
  - {methods: [POST], path: /students/, permission: students.add_student}
  - {methods: [PUT, PATCH], path: "/students/{id:int}/", permission: students.change_student}
  - {methods: [DELETE], path: "/students/{id}/", permission: {all: [students.delete_student, a.b]}}
  - {methods: [POST], path: "/hooks/{rest:path}", allow: anyone}
  - {methods: [GET], path: /me/, allow: authenticated}
"""
TESTS = """tests:
  - {method: POST, path: /students/, permissions: [students.add_student], expect: granted}
  - {method: POST, path: "/students/?next=1", superuser: true, expect: superuser}
  - {method: PATCH, path: /students/3/, permissions: [], expect: permission_denied}
  - {method: PUT, path: /students/3/, expect: token_missing}
  - {method: PUT, path: /students/x/, permissions: [students.change_student], expect: no_rule}
  - {method: DELETE, path: /students/3/, permissions: [a.b], expect: permission_denied}
  - {method: DELETE, path: /students/é/, permissions: [a.b, students.delete_student], expect: granted}
  - {method: POST, path: /hooks/a/b, expect: anyone}
  - {method: GET, path: /me/, claims: {sub: anna}, expect: authenticated}
  - {method: GET, path: /me/, claims: {aud: another}, expect: token_invalid}
  - {method: GET, path: /me/, claims: {exp: 1}, expect: token_expired}
  - {method: GET, path: /me/, claims: {authz_gen: null}, expect: token_invalid}
  - {method: GET, path: /me/, claims: {authz_gen: 1}, expect: token_revoked}
  - {method: GET, path: /other/, expect: safe_method}
  - {method: POST, path: /students/../students/, superuser: true, expect: bad_target}
  - {method: TRACE, path: /, expect: method_refused}
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AUTHZ_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    """A complete configuration, but for the policy's text."""
    return [
        "--upstream=http://127.0.0.1:8001",
        "--user-service=https://users.example.org",
        "--service-token=secret",
        "--jwt-issuer=https://users.example.org",
        "--jwt-audience=student-service",
        f"--policy={tmp_path / 'policy.yaml'}",
    ]


def check(tmp_path: Path, policy: str, *arguments: str) -> int:
    (tmp_path / "policy.yaml").write_text(policy)
    return cli.main(["check", *(arguments or ["--policy-only", f"--policy={tmp_path / 'policy.yaml'}"])])


@pytest.mark.parametrize("algorithms", ["EdDSA", "RS256,ES256,EdDSA", "ES384", "PS512", "RS256"])
def test_a_policy_whose_tests_hold(
    tmp_path: Path, settings: list[str], algorithms: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, RULES + TESTS, *settings, f"--jwt-algorithms={algorithms}") == 0
    shown, errors = capsys.readouterr()
    assert errors == ""
    assert "tests: 16 of 16 passed; they reach 6 of 6 rules" in shown
    assert [line.split() for line in shown.splitlines()][1:4] == [
        ["POST", "/students/", "students.add_student", "tests:", "2"],
        ["PUT", "/students/{id:int}/", "students.change_student", "tests:", "1"],
        ["PATCH", "/students/{id:int}/", "students.change_student", "tests:", "1"],
    ]


def test_a_token_in_another_header(tmp_path: Path, settings: list[str]) -> None:
    assert check(tmp_path, RULES + TESTS, *settings, "--token-header=X-Token") == 0


WITHOUT_GET = RULES[: RULES.index("  - {methods: [GET]")]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (RULES, "WebSockets pass where one of 1 rules for GET lets them"),
        (WITHOUT_GET, "WebSockets pass nowhere: no rule is for GET"),
    ],
)
def test_whether_any_rule_lets_websockets_pass_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], policy: str, said: str
) -> None:
    assert check(tmp_path, policy) == 0
    assert said in capsys.readouterr().out.splitlines()


def test_without_tests_none_are_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, RULES) == 0
    assert "tests:" not in capsys.readouterr().out


def test_a_test_that_does_not_hold_says_what_was_decided_instead_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = "  - {method: PATCH, path: /students/3/, permissions: [a.b], expect: granted}\n"
    assert check(tmp_path, RULES + TESTS + test) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "policy.yaml:25: tests[16]: PATCH /students/3/ is permission_denied (this needs "
        "students.change_student) by the rule PATCH /students/{id:int}/, not granted [failed_test]"
    )


def test_a_rule_that_no_test_reaches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fewer = "tests:\n" + "".join(line for line in TESTS.splitlines(True)[1:] if "/me/" not in line)
    assert check(tmp_path, RULES + fewer) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("policy.yaml:7: rules[4].path: no test reaches GET /me/ [untested_rule]")
    path = f"--policy={tmp_path / 'policy.yaml'}"
    assert check(tmp_path, RULES + fewer, "--policy-only", path, "--accept=untested_rule") == 0
    assert capsys.readouterr().err.startswith("accepted: ")


def test_a_rule_that_never_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = '"/a/{r:path}"', "/a/", '"/a/{x}"', '"/a/{x}/{r:path}"'
    rules = "".join(f"  - {{methods: [POST], path: {path}, allow: anyone}}\n" for path in taken)
    assert check(tmp_path, "version: 1\nrules:\n" + rules) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "policy.yaml:3: rules[0].path: POST /a/{r:path} never counts" in line
    assert line.endswith("[dead_rule]")


def test_a_rule_that_loses_paths_to_one_that_is_no_special_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = (
        '  - {methods: [POST], path: "/a/{x}/c", permission: a.b}\n'
        '  - {methods: [POST], path: "/a/b/{rest:path}", allow: anyone}\n'
    )
    assert check(tmp_path, "version: 1\nrules:\n" + rules) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "policy.yaml:3: rules[0].path: POST /a/{x}/c: /a/b/c falls under POST /a/b/{rest:path} (" in line
    assert line.endswith("[shadowed_rule]")


def test_doubtful_settings(
    tmp_path: Path,
    settings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AUTHZ_MAX_STALENES", "5")
    plain = "--user-service=http://users.example.org"
    assert check(tmp_path, RULES, *settings, plain) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "AUTHZ_MAX_STALENES: is no setting" in first
    assert "did you mean AUTHZ_MAX_STALENESS?" in first
    assert "AUTHZ_USER_SERVICE: sends the service token" in second
    accept = ["--accept=unknown_variable", "--accept=clear_text"]
    assert check(tmp_path, RULES, *settings, plain, *accept) == 0
    assert check(tmp_path, RULES, *settings, plain, accept[0]) == 1


def test_without_a_policy_there_is_nothing_to_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--policy-only"]) == 2
    assert capsys.readouterr().err == "error: --policy: is required: the policy file\n"


def test_what_would_not_start_is_another_exit_code(tmp_path: Path, settings: list[str]) -> None:
    assert check(tmp_path, RULES.replace("version: 1", "version: 2"), *settings) == 2
    assert check(tmp_path, RULES, *settings, "--upstream=http://127.0.0.1:8080") == 2


def test_the_shipped_policy_means_what_its_tests_say() -> None:
    assert cli.main(["check", "--policy-only", f"--policy={ROOT / 'compose' / 'policy.yaml'}"]) == 0


def test_the_documented_tests_hold_for_the_documented_policy(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "policy.md").read_text()
    rules, own, tests = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)
    path = f"--policy={tmp_path / 'policy.yaml'}"
    for text in (rules + tests, f"version: 1\n{own}"):
        assert check(tmp_path, text, "--policy-only", path, "--accept=untested_rule") == 0


CONDITIONS = """version: 1
rules:
  - {methods: [PATCH], hosts: [api.example], path: "/students/{id}/", own: id, permission: a.b}
  - {methods: [POST], hosts: [api.example], path: /tried/, permission: a.b, scope: write, mode: shadow}
  - {methods: [PUT], hosts: [api.example], path: "/n/{n}/", own: {parameter: n, claim: nr}, max_staleness: 5}
tests:
  - {method: PATCH, path: /students/7/, host: "API.example:443", claims: {sub: "7"}, expect: own}
  - {method: PATCH, path: /students/07/, host: api.example, claims: {sub: "7"}, expect: permission_denied}
  - {method: PATCH, path: /students/7/, claims: {sub: "7"}, expect: no_rule}
  - {method: POST, path: /tried/, host: api.example, permissions: [a.b], expect: insufficient_scope}
  - {method: POST, path: /tried/, host: api.example, permissions: [a.b], claims: {scope: write},
     expect: granted}
  - {method: POST, path: /tried/, host: api.example, permissions: [a.b], claims: {scp: [write]},
     expect: granted}
  - {method: PUT, path: /n/7/, host: api.example, claims: {nr: 7}, expect: own}
  - {method: PUT, path: /n/7/, host: api.example, claims: {nr: [7]}, expect: permission_denied}
"""


def test_what_rules_ask_for_beside_permissions_is_shown_and_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, CONDITIONS) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in shown[:5]] == [
        "PATCH api.example/students/{id}/ any(a.b, own id) tests: 2",
        "POST api.example/tried/ a.b with scope write; shadow: refuses nobody tests: 3",
        "PUT api.example/n/{n}/ own n (nr); at most 5 s old tests: 2",
        "hosts: api.example; what changes something on any other is refused",
        shown[4],
    ]
    assert "tests: 8 of 8 passed; they reach 3 of 3 rules" in shown


def test_a_rule_that_no_host_has_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = "  - {methods: [POST], path: /common/, allow: anyone}\n"
    assert check(tmp_path, CONDITIONS.replace("tests:\n", rule + "tests:\n")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "POST /common/ never counts: other rules name hosts, so it needs `hosts`, too [dead_rule]"
    )


@pytest.mark.parametrize("bound", [0.5, 31])
def test_a_bound_of_a_rule_that_is_no_smaller_one(
    tmp_path: Path, settings: list[str], capsys: pytest.CaptureFixture[str], bound: float
) -> None:
    policy = CONDITIONS.replace("max_staleness: 5", f"max_staleness: {bound}")
    assert check(tmp_path, policy, *settings) == 2
    assert capsys.readouterr().err.endswith(
        "policy.yaml:5: rules[2].path: max_staleness: must be more than AUTHZ_FEED_INTERVAL (0.5) and not "
        f"more than AUTHZ_MAX_STALENESS (30), not {bound}\n"
    )


ISSUERS = """
version: 1
issuers:
  - issuer: https://id.example
    audiences: [student-service]
    type: JWT
    subject: {claim: email, user_field: pk}
"""


def without_issuer(settings: list[str], tmp_path: Path) -> list[str]:
    (tmp_path / "issuers.yaml").write_text(ISSUERS)
    kept = [each for each in settings if not each.startswith("--jwt-")]
    return [*kept, f"--issuers-file={tmp_path / 'issuers.yaml'}"]


def test_the_policy_s_tests_are_put_to_the_issuer_of_the_file(tmp_path: Path, settings: list[str]) -> None:
    tests = (
        "tests:\n"
        "  - {method: GET, path: /me/, claims: {sub: null}, expect: authenticated}\n"
        "  - {method: GET, path: /me/, claims: {email_verified: false}, expect: token_invalid}\n"
        "  - {method: GET, path: /me/, claims: {iss: 'https://users.example.org'}, expect: token_invalid}\n"
    )
    given = without_issuer(settings, tmp_path)
    assert check(tmp_path, RULES + tests, *given, "--accept=untested_rule") == 0


def test_settings_of_one_issuer_beside_a_file_of_issuers_are_a_mistake(
    tmp_path: Path, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*without_issuer(settings, tmp_path), "--jwt-leeway=3", "--jwks-url=https://keys.example"]
    assert check(tmp_path, RULES, *given) == 2
    message = "must not be set beside AUTHZ_ISSUERS_FILE, which says it for each issuer"
    assert capsys.readouterr().err.splitlines() == [
        f"error: --jwt-leeway: {message}",
        f"error: --jwks-url: {message}",
    ]


def test_a_mistake_in_the_file_of_issuers_is_reported_with_all_others(
    tmp_path: Path, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = without_issuer(settings, tmp_path)
    (tmp_path / "issuers.yaml").write_text(ISSUERS.replace("type: JWT", "tipe: JWT"))
    assert check(tmp_path, RULES.replace("anyone", "everyone"), *given) == 2
    places = [line.split(": ")[1].rpartition("/")[2] for line in capsys.readouterr().err.splitlines()]
    assert sorted(places) == ["issuers.yaml:6", "policy.yaml:6"]
