"""The policy file: YAML read strictly, every problem at once, each with its place in the file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from authz_sidecar.config import mistakes
from authz_sidecar.config.document import Document, single
from authz_sidecar.core import pattern, policy
from authz_sidecar.core.errors import ConfigurationError, Problem
from authz_sidecar.core.policy import Policy, RuleSource
from authz_sidecar.core.verdicts import Code, Requirement

MAX_BYTES = 1024 * 1024

_LABEL = r"^[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$"

Label = Annotated[
    str,
    Field(
        pattern=_LABEL,
        max_length=200,
        description="A Django permission label: app_label.codename.",
        examples=["students.change_student"],
    ),
]
Method = Literal["GET", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AnyOf(_Strict):
    """One of these permissions is enough."""

    any: Annotated[list[Label], Field(min_length=1)]


class AllOf(_Strict):
    """All of these permissions are needed."""

    all: Annotated[list[Label], Field(min_length=1)]


def _form(value: object) -> str | None:
    """Which form of `permission` was meant, so that only mistakes in that form are reported."""
    if isinstance(value, str):
        return "label"
    if isinstance(value, AnyOf) or (isinstance(value, dict) and value.keys() == {"any"}):
        return "any"
    if isinstance(value, AllOf) or (isinstance(value, dict) and value.keys() == {"all"}):
        return "all"
    return None


Permission = Annotated[
    Annotated[Label, Tag("label")] | Annotated[AnyOf, Tag("any")] | Annotated[AllOf, Tag("all")],
    Discriminator(
        _form,
        custom_error_type="permission_form",
        custom_error_message="must be a label like students.add_student, or {any: [...]}, or {all: [...]}",
    ),
]


class RuleModel(_Strict):
    """What some methods on some paths require: a permission, or nobody in particular."""

    methods: Annotated[list[Method], Field(min_length=1)]
    path: Annotated[
        str, Field(description="`{name}`: one segment, `{name:int}`: digits, `{name:path}`: the rest.")
    ]
    permission: Permission | None = None
    allow: Literal["anyone", "authenticated"] | None = None

    @field_validator("path")
    @classmethod
    def _possible_path(cls, path: str) -> str:
        if found := pattern.path_mistakes(path):
            raise ValueError("; ".join(found))
        return path

    @model_validator(mode="after")
    def _one_requirement(self) -> RuleModel:
        if (self.permission is None) == (self.allow is None):
            raise ValueError("needs either `permission` or `allow`")
        return self

    @property
    def requirement(self) -> Requirement:
        match self.permission:
            case None:
                return Requirement(self.allow or "authenticated")
            case AnyOf(any=labels):
                return Requirement("any", tuple(labels))
            case AllOf(all=labels):
                return Requirement("all", tuple(labels))
            case label:
                return Requirement("any", (label,))


def _known_code(code: str) -> str:
    if code not in set(Code):
        close = get_close_matches(code, list(Code), n=1)
        meant = f": did you mean {close[0]}?" if close else f": one of {', '.join(Code)}"
        raise ValueError(f"there is no code {code!r}{meant}")
    return code


class ExpectationModel(_Strict):
    """A request and its decision. Without `permissions`, `superuser` and `claims` it carries no token."""

    method: Annotated[str, Field(min_length=1)]
    path: Annotated[str, Field(min_length=1, description="As a client sends it; a query may follow.")]
    permissions: Annotated[list[Label] | None, Field(description="All that the user holds.")] = None
    superuser: bool = False
    claims: Annotated[
        dict[str, Any] | None, Field(description="Of the token, beside usual ones; `null` leaves one out.")
    ] = None
    expect: Annotated[
        str,
        AfterValidator(_known_code),
        Field(description="The code of the decision.", json_schema_extra={"enum": list(Code)}),
    ]


class PolicyModel(_Strict):
    """Rules for the requests that may pass; every other change is refused."""

    version: Annotated[int, Field(ge=1, le=1)]
    rules: list[RuleModel]
    allow_method_override: bool = False
    tests: Annotated[list[ExpectationModel], Field(description="Run by `authz-sidecar check`.")] = []


@dataclass(frozen=True, slots=True)
class Expectation:
    """One of the file's tests: where it stands, and what it says."""

    place: str
    model: ExpectationModel


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """What a policy file says."""

    policy: Policy
    tests: tuple[Expectation, ...]


def is_label(text: str) -> bool:
    """Whether it is a permission label."""
    return re.fullmatch(_LABEL, text) is not None


def schema() -> dict[str, Any]:
    """The JSON Schema of the policy file."""
    return PolicyModel.model_json_schema()


def load(path: Path) -> Policy:
    """The policy alone. Raises ConfigurationError with every problem of the file."""
    return read(path).policy


def read(path: Path) -> PolicyFile:
    """The policy and its tests. Raises ConfigurationError with every problem of the file."""
    document = Document(str(path), _content(path))
    try:
        model = PolicyModel.model_validate(document.data)
    except ValidationError as error:
        problems = [Problem(document.place(each["loc"]), mistakes.message(each)) for each in error.errors()]
        raise ConfigurationError(list(dict.fromkeys(problems))) from error
    sources = (
        RuleSource(document.place(("rules", index, "path")), tuple(rule.methods), rule.path, rule.requirement)
        for index, rule in enumerate(model.rules)
    )
    compiled = policy.compile(sources, allow_method_override=model.allow_method_override)
    tests = (Expectation(document.place(("tests", index)), each) for index, each in enumerate(model.tests))
    return PolicyFile(compiled, tuple(tests))


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise single(str(path), f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise single(str(path), f"is larger than {MAX_BYTES} bytes")
    return content
