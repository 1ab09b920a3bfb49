"""The labels that a sidecar's policy file names, each with its place in the file.

Only what stands under `permission` is looked at, wherever that is: the file's form is the sidecar's business
(`authz-sidecar check`), and it may have more to say than is known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from authz_changelog.labels import BadLabel, Label, parse

MAX_BYTES = 1024 * 1024
OF_LABELS = ("any", "all")
"""Keys under `permission` whose lists hold labels."""
NOT_RULES = ("tests",)


class Unusable(Exception):
    """Everything that is wrong with a file, each with its place and mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Named(NamedTuple):
    label: Label
    place: str


class _Found(NamedTuple):
    node: yaml.ScalarNode
    way: str


def read(path: Path) -> list[Named]:
    """Raises `Unusable`."""
    root = _root(path)
    named: list[Named] = []
    problems: list[str] = []
    for node, way in _permissions(root, ""):
        place = f"{path}:{node.start_mark.line + 1}: {way}"
        try:
            named.append(Named(parse(node.value), place))
        except BadLabel as error:
            problems.append(f"{place}: {error}")
    if not named and not problems:
        problems.append(f"{path}: no rule names a permission: is this the sidecar's policy file?")
    if problems:
        raise Unusable(problems)
    return named


def _root(path: Path) -> yaml.Node | None:
    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise Unusable([f"{path}: is larger than {MAX_BYTES} bytes"])
        # An alias can make a small file huge, and a policy needs none.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, yaml.SafeLoader)):
            raise Unusable([f"{path}: must not use YAML aliases (*name)"])
        return yaml.compose(content, yaml.SafeLoader)
    except OSError as error:
        raise Unusable([f"{path}: cannot be read: {error.strerror}"]) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Unusable([f"{path}:{line}: cannot be read as YAML: {error.problem}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable([f"{path}: is no YAML file in UTF-8"]) from error


def _permissions(node: yaml.Node | None, way: str) -> Iterator[_Found]:
    """What stands under every `permission`."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _permissions(item, f"{way}[{index}]")
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value)
            below = f"{way}.{name}".lstrip(".")
            if name == "permission":
                yield from _labels(value, below)
            elif way or name not in NOT_RULES:
                yield from _permissions(value, below)


def _labels(node: yaml.Node, way: str) -> Iterator[_Found]:
    """A label, a list of labels, or these under `any` and `all`."""
    if isinstance(node, yaml.ScalarNode):
        yield _Found(node, way)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _labels(item, f"{way}[{index}]")
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value in OF_LABELS:
                yield from _labels(value, f"{way}.{key.value}")
