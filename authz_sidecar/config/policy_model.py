"""What a policy file may say: the models that it is validated with, and its JSON Schema."""

from __future__ import annotations

import re
from difflib import get_close_matches
from math import inf
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from authz_sidecar.core import hosts, pattern
from authz_sidecar.core.verdicts import Code, Own, Requirement

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

    @field_validator("any", mode="before")
    @classmethod
    def _labels_alone(cls, terms: object) -> object:
        if isinstance(terms, list) and any(isinstance(term, dict) and "own" in term for term in terms):
            raise ValueError("write `own` beside `permission`: it is enough by itself")
        return terms


class OwnClaim(_Strict):
    """The parameter that must equal a claim of the token."""

    parameter: Annotated[str, Field(min_length=1)]
    claim: Annotated[str, Field(min_length=1, max_length=200)]


def _own_form(value: object) -> str:
    return "claim" if isinstance(value, dict | OwnClaim) else "parameter"


OwnParameter = Annotated[
    Annotated[str, Field(min_length=1), Tag("parameter")] | Annotated[OwnClaim, Tag("claim")],
    Discriminator(_own_form),
    Field(description="The parameter of the path that must equal the subject, or a claim."),
]


class OwnTerm(_Strict):
    """What the path names must be the asker's own."""

    own: OwnParameter


def _term_form(value: object) -> str:
    return "own" if isinstance(value, dict | OwnTerm) else "label"


Term = Annotated[Annotated[Label, Tag("label")] | Annotated[OwnTerm, Tag("own")], Discriminator(_term_form)]


class AllOf(_Strict):
    """All of these permissions are needed, and the path must name the asker where `own` is among them."""

    all: Annotated[list[Term], Field(min_length=1)]

    @model_validator(mode="after")
    def _some_permission(self) -> AllOf:
        owns = sum(isinstance(term, OwnTerm) for term in self.all)
        if owns > 1:
            raise ValueError("`own` is there twice")
        if owns == len(self.all):
            raise ValueError("needs a permission, too; `own` alone stands beside `methods` and `path`")
        return self


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


_SCOPE = r"^[!#-\[\]-~]+$"

Scope = Annotated[
    str,
    Field(
        pattern=_SCOPE, max_length=200, description="A scope, as tokens name it.", examples=["students:write"]
    ),
]


def _scope_form(value: object) -> str:
    return "several" if isinstance(value, list) else "one"


Scopes = Annotated[
    Annotated[Scope, Tag("one")] | Annotated[list[Scope], Field(min_length=1), Tag("several")],
    Discriminator(_scope_form),
]


class RuleModel(_Strict):
    """What some methods on some paths require: a permission, what is one's own, or nobody in particular."""

    methods: Annotated[list[Method], Field(min_length=1)]
    path: Annotated[
        str,
        Field(
            description="`{name}`: one segment, `{name:int}`: digits, `{name:uuid}`: a UUID, "
            "`{name:path}`: the rest."
        ),
    ]
    hosts: Annotated[list[str], Field(min_length=1, description="Lower case, without port.")] | None = None
    permission: Permission | None = None
    own: OwnParameter | None = None
    allow: Literal["anyone", "authenticated"] | None = None
    scope: Annotated[
        Scopes | None,
        Field(description="What the token must be good for: all of these, whatever else is asked."),
    ] = None
    mode: Annotated[
        Literal["enforce", "shadow"], Field(description="`shadow`: decide and log, refuse nobody.")
    ] = "enforce"
    max_staleness: Annotated[
        float | None,
        Field(ge=0.1, le=86400, description="Seconds; a smaller bound than AUTHZ_MAX_STALENESS."),
    ] = None

    @field_validator("path")
    @classmethod
    def _possible_path(cls, path: str) -> str:
        if found := pattern.path_mistakes(path):
            raise ValueError("; ".join(found))
        return path

    @field_validator("hosts")
    @classmethod
    def _possible_hosts(cls, named: list[str] | None) -> list[str] | None:
        found = [mistake for mistake in map(hosts.mistake, named or ()) if mistake]
        if len(set(named or ())) < len(named or ()):
            found.append("one is there twice")
        if found:
            raise ValueError("; ".join(found))
        return named

    @model_validator(mode="after")
    def _one_requirement(self) -> RuleModel:
        who = [name for name in ("permission", "own") if getattr(self, name) is not None]
        if self.allow is None and not who:
            raise ValueError("needs one of `permission`, `own` and `allow`")
        if self.allow is not None and who:
            raise ValueError(f"`allow` cannot stand beside {' and '.join(f'`{name}`' for name in who)}")
        asks = [name for name in ("scope", "max_staleness") if getattr(self, name) is not None]
        if self.allow == "anyone" and asks:
            raise ValueError(f"`allow: anyone` looks at no token: leave {' and '.join(asks)} out")
        if self.own is not None and isinstance(self.permission, AllOf):
            raise ValueError(
                "`own` beside `all` would be enough without them: write `own` under `all`, or `any` for `all`"
            )
        return self

    @model_validator(mode="after")
    def _own_is_in_the_path(self) -> RuleModel:
        own = self.requirement.own
        known = pattern.parameters(self.path)
        if own is not None and own.parameter not in known:
            plain = own.parameter.strip("{}<>:$").partition(":")[0]
            close = plain if plain in known else ", ".join(known)
            mend = f"write {close}" if close else "name the segment in the path, like {id}"
            raise ValueError(f"own: {own.parameter!r} is no segment of {self.path}: {mend}")
        return self

    @property
    def requirement(self) -> Requirement:
        scopes = [self.scope] if isinstance(self.scope, str) else self.scope
        terms = self.permission.all if isinstance(self.permission, AllOf) else ()
        own = next((term.own for term in terms if isinstance(term, OwnTerm)), self.own)
        return Requirement(
            "all" if terms else self.allow or "any",
            tuple(labels(self.permission)),
            _own(own),
            tuple(scopes or ()),
            inf if self.max_staleness is None else self.max_staleness,
        )


def labels(permission: Permission | None) -> list[str]:
    """Those that it names."""
    match permission:
        case None:
            return []
        case AnyOf(any=several):
            return several
        case AllOf(all=terms):
            return [term for term in terms if isinstance(term, str)]
        case label:
            return [label]


def _own(said: str | OwnClaim | None) -> Own | None:
    if said is None:
        return None
    return Own(said) if isinstance(said, str) else Own(said.parameter, said.claim)


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
    host: Annotated[str, Field(min_length=1, description="As a client names it in `Host`.")] | None = None
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


Name = Annotated[str, Field(min_length=1, max_length=200)]


class PolicyModel(_Strict):
    """Rules for the requests that may pass; every other change is refused."""

    version: Annotated[int, Field(ge=1, le=1)]
    rules: list[RuleModel]
    allow_method_override: bool = False
    authzen: Annotated[
        dict[Name, dict[Name, Permission]],
        Field(description="For AuthZEN: what each action on each type of resource requires."),
    ] = {}
    tests: Annotated[list[ExpectationModel], Field(description="Run by `authz-sidecar check`.")] = []

    @field_validator("authzen")
    @classmethod
    def _no_own(cls, types: dict[str, dict[str, Permission]]) -> dict[str, dict[str, Permission]]:
        wanted = [each for actions in types.values() for each in actions.values()]
        if any(isinstance(term, OwnTerm) for each in wanted if isinstance(each, AllOf) for term in each.all):
            raise ValueError("`own` needs a path, and AuthZEN has none")
        return types

    @property
    def actions(self) -> dict[tuple[str, str], Requirement]:
        """By type of resource and name of action."""
        return {
            (kind, action): Requirement("all" if isinstance(wants, AllOf) else "any", tuple(labels(wants)))
            for kind, actions in self.authzen.items()
            for action, wants in actions.items()
        }


def is_label(text: str) -> bool:
    """Whether it is a permission label."""
    return re.fullmatch(_LABEL, text) is not None


def schema() -> dict[str, Any]:
    """The JSON Schema of the policy file."""
    return PolicyModel.model_json_schema()
