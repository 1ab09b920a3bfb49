"""The file of issuers: YAML or JSON, read strictly, every problem at once, each with its place.

Whoever may choose what a claim says is, to us, whoever they name. So two issuers name users by the same field
only where the file says in so many words that both are trusted with it. Whether the User service names its
users by these fields it says itself (`core.naming`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from authz_sidecar.config import mistakes, parsers
from authz_sidecar.config.addresses import any_url
from authz_sidecar.config.document import Document, read_whole
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.core.errors import ConfigurationError, Problem


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Text = Annotated[str, Field(min_length=1, max_length=1000)]


class SubjectModel(_Strict):
    """How its tokens name a user."""

    claim: Annotated[Text, Field(description="`email` counts only with `email_verified: true`.")] = "sub"
    user_field: Annotated[Text, Field(description="What of the User service's users the claim names.")]


class IssuerModel(_Strict):
    """What tokens of one issuer must be."""

    issuer: Annotated[Text, Field(description="Its `iss`, exactly.")]
    audiences: Annotated[list[Text], Field(min_length=1, description="One of them must be in `aud`.")]
    algorithms: Annotated[list[str], Field(min_length=1)] = ["RS256", "ES256", "EdDSA"]
    type: Annotated[str, Field(description="Required `typ`; empty: any.")] = "at+jwt"
    subject: SubjectModel
    name_claim: Annotated[Text, Field(description="What people call the user; told to the service.")] = (
        "preferred_username"
    )
    keys: Annotated[
        str, Field(description="URL of a key set, or `discovery`: where its OpenID configuration says.")
    ] = "discovery"
    claims: Annotated[
        Literal["authz", "standard"],
        Field(description="`authz`: `authz_gen` and `authz_rev` are required and obeyed."),
    ] = "standard"
    leeway: Annotated[float, Field(ge=0, le=300)] = 5.0
    keys_max_age: Annotated[float, Field(ge=60, le=604800)] = 3600.0

    @field_validator("issuer")
    @classmethod
    def _printable(cls, issuer: str) -> str:
        return parsers.printable(issuer)

    @field_validator("algorithms")
    @classmethod
    def _signatures(cls, algorithms: list[str]) -> list[str]:
        parsers.algorithms(",".join(algorithms))
        return algorithms

    @model_validator(mode="after")
    def _findable_keys(self) -> IssuerModel:
        try:
            any_url(self.issuer if self.keys == "discovery" else self.keys)
        except ValueError as error:
            where = "issuer, for its keys to be discovered there," if self.keys == "discovery" else "keys"
            raise ValueError(f"{where} {error}") from None
        return self

    @property
    def issuer_alone(self) -> Issuer:
        return Issuer(
            issuer=self.issuer,
            audiences=tuple(self.audiences),
            algorithms=frozenset(self.algorithms),
            type=self.type,
            leeway=self.leeway,
            revision_claims=self.claims == "authz",
            jwks_url=None if self.keys == "discovery" else self.keys,
            jwks_max_age=self.keys_max_age,
            subject_claim=self.subject.claim,
            user_field=self.subject.user_field,
            name_claim=self.name_claim,
        )


class IssuersModel(_Strict):
    """Whose tokens are accepted."""

    version: Annotated[int, Field(ge=1, le=1)]
    issuers: Annotated[list[IssuerModel], Field(min_length=1)]
    shared_user_fields: Annotated[
        list[Text], Field(description="Fields that several issuers are trusted to name users by.")
    ] = []


def schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    return IssuersModel.model_json_schema()


def read(path: Path) -> tuple[Issuer, ...]:
    """Raises ConfigurationError with every problem of the file."""
    document = Document(str(path), read_whole(path))
    try:
        model = IssuersModel.model_validate(document.data)
    except ValidationError as error:
        problems = [Problem(document.place(each["loc"]), mistakes.message(each)) for each in error.errors()]
        raise ConfigurationError(list(dict.fromkeys(problems))) from error
    problems = list(_contradictions(model, document))
    if problems:
        raise ConfigurationError(problems)
    return tuple(each.issuer_alone for each in model.issuers)


def _contradictions(model: IssuersModel, document: Document) -> Iterator[Problem]:
    """What is fine in each issuer alone and wrong in all of them together."""
    issuers: dict[str, str] = {}
    fields: dict[str, str] = {}
    for index, each in enumerate(model.issuers):
        place, field = document.place(("issuers", index, "issuer")), each.subject.user_field
        if each.issuer in issuers:
            yield Problem(place, f"is there twice: {issuers[each.issuer]}, too")
        issuers.setdefault(each.issuer, place)
        place = document.place(("issuers", index, "subject", "user_field"))
        if field in fields and field not in model.shared_user_fields:
            message = (
                f"{field} is what {fields[field]} names users by, too, so each could sign in as the other's "
                f"users: if both are trusted with it, write shared_user_fields: [{field}]"
            )
            yield Problem(place, message)
        fields.setdefault(field, each.issuer)
