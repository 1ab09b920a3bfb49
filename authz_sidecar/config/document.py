"""A YAML file as plain data which knows where each part of it stands. Errors come with their mend."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from authz_sidecar.core import spellings
from authz_sidecar.core.errors import ConfigurationError, Problem

Keys = tuple[str | int, ...]
"""The way to a part of a document: names of keys and indices of lists."""

MAX_BYTES = 1024 * 1024
"""Of a file of configuration."""
_TEXT = r"[^\s,{}\[\]]*"
_UNQUOTED_PATH = re.compile(
    rf"\bpath:\s*(?P<path>(?:/{_TEXT})?(?:[{{\[]{_TEXT}[}}\]]{_TEXT})+|/{_TEXT}\?{_TEXT})"
)
"""In flow style braces, brackets and question marks mean something else, unless they are in quotes."""


class Document:
    """Reads a whole file. Raises ConfigurationError with every problem."""

    def __init__(self, name: str, content: bytes) -> None:
        self._name = name
        self._content = content
        self._lines: dict[Keys, int] = {}
        self._problems: list[Problem] = []
        try:
            # An alias can make a small file huge ("billion laughs"), and a policy needs none.
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, yaml.SafeLoader)):
                raise single(name, "must not use YAML aliases (*name)")
            loader = yaml.SafeLoader(content)
            node = loader.get_single_node()
            self.data = self._plain(loader, node, ()) if node else None
        except yaml.MarkedYAMLError as error:
            raise self._no_yaml(error) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise single(name, "is not a text file in UTF-8") from error
        except RecursionError as error:
            raise single(name, "is nested too deeply") from error
        if self._problems:
            raise ConfigurationError(self._problems)

    def place(self, keys: Keys) -> str:
        """file:line: keys, of the innermost part of `keys` that is in the file."""
        known = keys
        while known and known not in self._lines:
            known = known[:-1]
        shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in known)
        return self._at(self._lines.get(known, 1)) + (f": {shown.lstrip('.')}" if shown else "")

    def _at(self, line: int) -> str:
        return f"{self._name}:{line}"

    def _plain(self, loader: yaml.SafeLoader, node: yaml.Node, keys: Keys) -> Any:
        self._lines[keys] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(loader, item, (*keys, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            if keys[-1:] == ("path",) and (mistake := self._unquoted(node.start_mark.line)):
                self._problems.append(Problem(self.place(keys), mistake))
            return self._mapping(loader, node, keys)
        try:
            return loader.construct_object(node)
        except ValueError as error:
            raise single(self.place(keys), f"{node.value!r} is no date; put it in quotes") from error

    def _mapping(self, loader: yaml.SafeLoader, node: yaml.MappingNode, keys: Keys) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            if key in result:
                self._lines[(*keys, key)] = key_node.start_mark.line + 1
                self._problems.append(Problem(self.place((*keys, key)), "is there twice"))
            result[key] = self._plain(loader, value_node, (*keys, key))
        return result

    def _no_yaml(self, error: yaml.MarkedYAMLError) -> ConfigurationError:
        """The place where reading ended, and the mistake that is likely there."""
        met, opened = error.problem_mark, error.context_mark
        line = met.line if met else 0
        shown = self._line(line)
        if (mistake := self._unquoted(line)) is not None:
            return single(self._at(line + 1), mistake)
        if shown[: len(shown) - len(shown.lstrip())].count("\t"):
            return single(self._at(line + 1), "is indented with a tab: use spaces")
        if shown.startswith("---"):
            return single(self._at(line + 1), "a second document begins here: write one")
        if met is not None and self._rest_is_empty(line, met.column):
            where = opened.line if opened else line
            return single(self._at(where + 1), "what is opened here is never closed")
        near = f": {shown.strip()!r}" if shown.strip() else ""
        message = f"cannot be read as YAML{near}; mend indentation and brackets, or put the text in quotes"
        return single(self._at(line + 1), message)

    def _unquoted(self, line: int) -> str | None:
        """The mend where a path with braces stands without quotes."""
        match = _UNQUOTED_PATH.search(self._line(line))
        if match is None:
            return None
        path = "/" + match["path"].lstrip("/")
        return f'the path needs quotes: path: "{spellings.ours(path) or path}"'

    def _line(self, number: int) -> str:
        lines = self._content.decode("utf-8", "replace").split("\n")
        return lines[number] if number < len(lines) else ""

    def _rest_is_empty(self, line: int, column: int) -> bool:
        lines = self._content.decode("utf-8", "replace").split("\n")[line:]
        return not "".join([*map(str.strip, [lines[0][column:] if lines else "", *lines[1:]])])


def read_whole(path: Path) -> bytes:
    """The content of a file of configuration. Raises ConfigurationError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise single(str(path), f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise single(str(path), f"is larger than {MAX_BYTES} bytes")
    return content


def single(place: str, message: str) -> ConfigurationError:
    """One problem alone."""
    return ConfigurationError([Problem(place, message)])
