"""Questions and answers of the Authorization API 1.0 (OpenID AuthZEN), read from JSON.

Fields that nobody asks for are ignored, as the specification has it. What is missing or of the wrong kind is
a `Malformed`, which names the field. `false` means denied; what is not known is no answer at all, and that is
for the port to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, cast, get_args

from authz_sidecar.core.naming import SEPARATOR
from authz_sidecar.core.verdicts import Verdict

MAX_EVALUATIONS: Final = 1_000
MAX_TEXT: Final = 255

Semantic = Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"]
SEMANTICS: Final[tuple[Semantic, ...]] = get_args(Semantic)


class Malformed(Exception):
    """The text names the field and the mend."""


class Asked(NamedTuple):
    """One question: may this subject do this to a resource of this type?"""

    subject_type: str
    subject: str
    action: str
    resource_type: str


class Batch(NamedTuple):
    """Questions, each of which may be malformed by itself, and when to stop asking."""

    questions: tuple[Asked | Malformed, ...]
    semantic: Semantic

    def ends_with(self, *, allowed: bool) -> bool:
        """Whether no question after this answer is wanted."""
        wanted = {"deny_on_first_deny": False, "permit_on_first_permit": True}
        return wanted.get(self.semantic) is allowed


def body(content: bytes) -> Mapping[str, Any]:
    """The object that a request holds. Raises Malformed."""
    try:
        found = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body must be JSON: {error}") from None
    if not isinstance(found, dict):
        raise Malformed("the body must be a JSON object")
    return found


def question(given: Mapping[str, Any]) -> Asked:
    """A question that stands alone. Raises Malformed."""
    subject, action, resource = (_entity(given, name) for name in ("subject", "action", "resource"))
    _text(resource, "resource", "id")
    return Asked(
        _text(subject, "subject", "type"),
        _text(subject, "subject", "id"),
        _text(action, "action", "name"),
        _text(resource, "resource", "type"),
    )


def batch(given: Mapping[str, Any]) -> Batch | None:
    """Several questions; `None` where there is but one, without `evaluations`. Raises Malformed."""
    listed = given.get("evaluations", [])
    if not isinstance(listed, list):
        raise Malformed("evaluations must be a list")
    if not listed:
        return None
    if len(listed) > MAX_EVALUATIONS:
        raise Malformed(f"evaluations: at most {MAX_EVALUATIONS}; ask more often")
    return Batch(tuple(_question_of(given, each) for each in listed), _semantic(given))


def answer(verdict: Verdict) -> dict[str, Any]:
    """What is answered where it is known."""
    position = verdict.position
    context = {
        "code": verdict.code.value,
        "revision": str(position.token) if position else None,
        "age": verdict.staleness,
    }
    return {"decision": verdict.allowed, "context": context}


def error(malformed: Malformed) -> dict[str, Any]:
    """What is answered to one of several questions that is none."""
    return {"decision": False, "context": {"error": {"status": 400, "message": str(malformed)}}}


def _question_of(given: Mapping[str, Any], own: object) -> Asked | Malformed:
    """An entity is the question's own or the common one, as a whole."""
    if not isinstance(own, dict):
        return Malformed("each of the evaluations must be an object")
    try:
        return question({**given, **own})
    except Malformed as malformed:
        return malformed


def _semantic(given: Mapping[str, Any]) -> Semantic:
    options = given.get("options", {})
    if not isinstance(options, dict):
        raise Malformed("options must be an object")
    named = options.get("evaluations_semantic", "execute_all")
    if named not in SEMANTICS:
        raise Malformed(f"options.evaluations_semantic must be one of {', '.join(SEMANTICS)}")
    return cast(Semantic, named)


def _entity(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = given.get(name)
    if not isinstance(found, dict):
        raise Malformed(f"{name} is missing or no object")
    return found


def _text(entity: Mapping[str, Any], name: str, key: str) -> str:
    value = entity.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise Malformed(f"{name}.{key} must be text of 1 to {MAX_TEXT} characters")
    if any("\ud800" <= each <= "\udfff" for each in value):
        raise Malformed(f"{name}.{key} must be text that UTF-8 can hold")
    if SEPARATOR in value:  # of no subject, but the log spells some with it
        raise Malformed(f"{name}.{key} must not hold the control character U+001F")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found
