"""The file of issuers: read strictly, and no user field shared unless it is said so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from authz_sidecar.config import issuers_file
from authz_sidecar.config.issuer import Issuer, user_fields
from authz_sidecar.config.jwt_settings import JwtSettings
from authz_sidecar.core.errors import ConfigurationError

GOOD = """
version: 1
issuers:
  - issuer: https://users.example
    audiences: [student-service]
    subject: {user_field: pk}
    keys: https://users.example/.well-known/jwks.json
    claims: authz
  - issuer: https://id.example/realms/school/
    audiences: [student-service, account]
    algorithms: [RS256]
    type: JWT
    leeway: 10
    subject: {claim: user_id, user_field: pk}
shared_user_fields: [pk]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "issuers.yaml"
    path.write_text(text)
    return path


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        issuers_file.read(write(tmp_path, text))
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_what_a_file_says(tmp_path: Path) -> None:
    first, second = issuers_file.read(write(tmp_path, GOOD))
    assert first == Issuer(
        issuer="https://users.example",
        audiences=("student-service",),
        algorithms=frozenset({"RS256", "ES256", "EdDSA"}),
        type="at+jwt",
        leeway=5.0,
        revision_claims=True,
        jwks_url="https://users.example/.well-known/jwks.json",
        jwks_max_age=3600.0,
        user_field="pk",
    )
    assert (second.subject_claim, second.user_field, second.revision_claims) == ("user_id", "pk", False)
    assert second.keys_place == "https://id.example/realms/school/.well-known/openid-configuration"


def test_each_may_name_users_by_a_field_of_its_own(tmp_path: Path) -> None:
    text = GOOD.replace("claim: user_id, user_field: pk", "claim: email, user_field: email")
    for said in (text, text.replace("shared_user_fields: [pk]", "")):
        issuers = issuers_file.read(write(tmp_path, said))
        assert [each.user_field for each in issuers] == ["pk", "email"]
        assert user_fields(issuers) == {"pk", "email"}
    assert user_fields([JwtSettings(jwks_url="").alone]) == frozenset()


def test_it_may_be_json(tmp_path: Path) -> None:
    issuer = {"issuer": "https://a", "audiences": ["x"], "subject": {"user_field": "pk"}}
    (only,) = issuers_file.read(write(tmp_path, json.dumps({"version": 1, "issuers": [issuer]})))
    assert only.jwks_url is None


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (
            "shared_user_fields: [pk]",
            "",
            "issuers.yaml:14: issuers[1].subject.user_field: pk is what https://users.example names users "
            "by, too, so each could sign in as the other's users: if both are trusted with it, write "
            "shared_user_fields: [pk]",
        ),
        (
            "https://id.example/realms/school/",
            "https://users.example",
            "issuers.yaml:9: issuers[1].issuer: is there twice",
        ),
        (
            "subject: {user_field: pk}",
            "subject: {}",
            "issuers.yaml:6: issuers[0].subject: 'user_field'",
        ),
        ("[RS256]", "[RS256, HS256]", "issuers.yaml:11: issuers[1].algorithms: must be some of ES256,"),
        ("[RS256]", "[none]", "issuers.yaml:11: issuers[1].algorithms: must be some of ES256,"),
        ("[RS256]", "[]", "issuers.yaml:11: issuers[1].algorithms: must not be empty"),
        ("[student-service]", "[]", "issuers.yaml:5: issuers[0].audiences: must not be empty"),
        ("[student-service]", "student-service", "issuers.yaml:5: issuers[0].audiences: must be a list"),
        (
            "keys: https://users.example/",
            "keys: ftp://users.example/",
            "issuers.yaml:4: issuers[0]: keys must",
        ),
        (
            "https://id.example/realms/school/",
            "school",
            "issuers.yaml:9: issuers[1]: issuer, for its",
        ),
        ("claims: authz", "claims: none", "issuers.yaml:8: issuers[0].claims: must be 'authz' or 'standard'"),
        (
            "leeway: 10",
            "leeway: 301",
            "issuers.yaml:13: issuers[1].leeway: must be a number of",
        ),
        ("leeway: 10", "audience: x", "issuers.yaml:13: issuers[1].audience: 'audience' is not known here"),
        ("version: 1", "version: 2", "issuers.yaml:2: version: must be 1"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_mend(tmp_path: Path, old: str, new: str, found: str) -> None:
    assert old in GOOD
    (problem,) = problems(tmp_path, GOOD.replace(old, new, 1))
    assert problem.startswith(found)


@pytest.mark.parametrize("text", ["", "[]", "issuers: []", "version: 1\nissuers: 3", "a: [", "\t"])
def test_what_is_no_such_file_is_told_so(tmp_path: Path, text: str) -> None:
    assert all(problem.startswith("issuers.yaml") for problem in problems(tmp_path, text))


def test_the_schema_is_json_and_closed() -> None:
    assert json.loads(json.dumps(issuers_file.schema()))["additionalProperties"] is False
