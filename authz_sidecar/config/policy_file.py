"""The policy file: YAML read strictly, every problem at once, each with its place in the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from authz_sidecar.config import mistakes
from authz_sidecar.config.document import Document, read_whole
from authz_sidecar.config.policy_model import ExpectationModel, PolicyModel
from authz_sidecar.core import policy
from authz_sidecar.core.errors import ConfigurationError, Problem
from authz_sidecar.core.policy import Policy, RuleSource


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


def load(path: Path) -> Policy:
    """The policy alone. Raises ConfigurationError with every problem of the file."""
    return read(path).policy


def read(path: Path) -> PolicyFile:
    """The policy and its tests. Raises ConfigurationError with every problem of the file."""
    document = Document(str(path), read_whole(path))
    try:
        model = PolicyModel.model_validate(document.data)
    except ValidationError as error:
        problems = [Problem(document.place(each["loc"]), mistakes.message(each)) for each in error.errors()]
        raise ConfigurationError(list(dict.fromkeys(problems))) from error
    sources = (
        RuleSource(
            document.place(("rules", index, "path")),
            tuple(rule.methods),
            rule.path,
            rule.requirement,
            tuple(rule.hosts or ()),
            rule.mode == "shadow",
        )
        for index, rule in enumerate(model.rules)
    )
    override = model.allow_method_override
    compiled = policy.compile(sources, allow_method_override=override, actions=model.actions)
    tests = (Expectation(document.place(("tests", index)), each) for index, each in enumerate(model.tests))
    return PolicyFile(compiled, tuple(tests))
