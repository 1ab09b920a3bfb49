"""Operations of the protected service, as its OpenAPI document tells of them, that no rule lets through."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import yaml

from authz_sidecar.config.findings import Finding, Kind
from authz_sidecar.core import pattern, reach
from authz_sidecar.core.errors import MalformedMessage
from authz_sidecar.core.policy import Policy
from authz_sidecar.core.rules import MUTATING_METHODS, Rule

MAX_BYTES: Final = 32 * 1024 * 1024
_PARAMETER: Final = re.compile(r"\{([^{}/]+)\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """A method on a path template; `kinds` are those of the parameters that the document says more of."""

    method: str
    path: str
    kinds: Mapping[str, pattern.Kind]


def operations(content: bytes) -> list[Operation]:
    """All that change something, from OpenAPI 3 or Swagger 2, in JSON or YAML. Raises MalformedMessage."""
    document = _parsed(content)
    paths = document.get("paths") if isinstance(document, dict) else None
    if not isinstance(paths, dict):
        raise MalformedMessage("is no OpenAPI document: it has no `paths`")
    base = _base(document)
    return [
        Operation(method.upper(), base + path, _kinds(document, item, operation))
        for path, given in paths.items()
        for item in [_resolved(document, given)]
        for method, operation in item.items()
        if method.upper() in MUTATING_METHODS
    ]


def refused(policy: Policy, found: Iterable[Operation], place: str) -> Iterator[Finding]:
    """A finding for each operation that no rule lets through, whoever asks."""
    texts = reach.fresh(policy)
    for each in found:
        if _matching(policy, each.method, _filled(each, texts, "segment")) is not None:
            continue
        message = "falls under no rule: it is refused, whoever asks"
        for kind, word in _WORDS.items():
            if (rule := _matching(policy, each.method, _filled(each, texts, kind))) is not None:
                message = f"falls under {rule.label} only where its parameters are {word}"
        yield Finding(Kind.REFUSED_OPERATION, place, f"{each.method} {each.path} {message}")


def _matching(policy: Policy, method: str, path: str) -> Rule | None:
    """A rule that lets it through on some host: the document does not say how the service is addressed."""
    found = (policy.match(method, path, host) for host in (*policy.by_host, ""))
    return next((rule for rule in found if rule is not None), None)


_WORDS: Final[Mapping[pattern.Kind, str]] = {"uuid": "UUIDs", "int": "digits"}


def _filled(operation: Operation, texts: Mapping[pattern.Kind, str], otherwise: pattern.Kind) -> str:
    """A path with these in place of its parameters; `otherwise` is the kind of those that have none."""
    return _PARAMETER.sub(lambda match: texts[operation.kinds.get(match[1], otherwise)], operation.path)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        pass
    try:
        return yaml.load(content, yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)  # noqa: S506 (both are safe)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise MalformedMessage("is neither JSON nor YAML") from error


def _base(document: Mapping[str, Any]) -> str:
    """What comes before each path: that of the first server, or Swagger's `basePath`."""
    servers = document.get("servers")
    if isinstance(servers, list) and servers and isinstance(servers[0], dict):
        server = servers[0]
        variables = server.get("variables") or {}
        url = _PARAMETER.sub(
            lambda match: str((variables.get(match[1]) or {}).get("default", match[0])),
            str(server.get("url", "")),
        )
        return unquote(urlsplit(url).path).rstrip("/")
    return str(document.get("basePath") or "").rstrip("/")


def _kinds(document: Any, item: Mapping[str, Any], operation: object) -> dict[str, pattern.Kind]:
    own = operation.get("parameters") if isinstance(operation, dict) else None
    parameters = [_resolved(document, each) for each in [*(item.get("parameters") or ()), *(own or ())]]
    kinds: dict[str, pattern.Kind] = {}
    for each in parameters:
        schema = each.get("schema") or {}
        if each.get("in") == "path" and "integer" in (each.get("type"), schema.get("type")):
            kinds[str(each.get("name"))] = "int"
        elif each.get("in") == "path" and "uuid" in (each.get("format"), schema.get("format")):
            kinds[str(each.get("name"))] = "uuid"
    return kinds


def _resolved(document: Any, part: object) -> Mapping[str, Any]:
    """What a reference within the document stands for; anything that is no mapping stands for nothing."""
    for _ in range(8):
        if not isinstance(part, dict):
            return {}
        reference = part.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return part
        part = document
        for key in reference.removeprefix("#/").split("/"):
            key = unquote(key).replace("~1", "/").replace("~0", "~")
            part = part.get(key) if isinstance(part, dict) else None
    return {}
