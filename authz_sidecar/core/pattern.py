"""The path pattern of a rule: literal segments and placeholders, parsed or refused with the mend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from authz_sidecar.core import spellings
from authz_sidecar.core.spellings import OURS

Kind = Literal["literal", "int", "uuid", "segment", "path"]
FORMS: Final = "{name}, {name:int}, {name:uuid} or {name:path}"

_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")

_LIKE_PLACEHOLDER: Final = re.compile(r".*[{}<>].*|:[A-Za-z_].*")
"""Literal text that no request has; whoever writes it means a placeholder."""
_KINDS: Final[dict[str | None, Kind]] = {
    None: "segment",
    "int": "int",
    "uuid": "uuid",
    "path": "path",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """What stands between two slashes of a pattern."""

    kind: Kind
    text: str

    def takes(self, text: str) -> bool:
        """Whether it matches this one; a rest matches any."""
        if self.kind == "literal":
            return text == self.text
        if self.kind == "int":
            return is_number(text)
        if self.kind == "uuid":
            return is_uuid(text)
        return bool(text) or self.kind == "path"


def is_number(text: str) -> bool:
    """Whether it is made of the digits 0 to 9."""
    return text.isascii() and text.isdigit()


def is_uuid(text: str) -> bool:
    """Whether it is a UUID as people write one (RFC 9562 §4): hyphens, and digits of either case."""
    return _UUID.fullmatch(text) is not None


def parse(path: str) -> list[Segment]:
    """The segments of a pattern in which `path_mistakes` finds nothing."""
    return [Segment(_kind(text), text) for text in path.split("/")[1:]]


def _kind(text: str) -> Kind:
    match = OURS.fullmatch(text)
    return _KINDS[match[2]] if match else "literal"


def parameters(path: str) -> dict[str, int]:
    """The placeholders that stand for one segment, each with its place in `path.split("/")`."""
    found = enumerate(map(OURS.fullmatch, path.split("/")))
    return {match[1]: index for index, match in found if match is not None and match[2] != "path"}


def path_mistakes(path: str) -> list[str]:
    """Everything that is wrong with a path pattern."""
    found = _mistakes(path)
    if found and (ours := spellings.ours(path)) is not None and not _mistakes(ours):
        return [f"placeholders are {FORMS} here: write {ours}"]
    return found


def _mistakes(path: str) -> list[str]:
    if not path.startswith("/"):
        return ["a path starts with /"]
    texts = path.split("/")[1:]
    found = [_mistake(text, last=index == len(texts) - 1) for index, text in enumerate(texts)]
    names = [match[1] for match in map(OURS.fullmatch, texts) if match]
    if len(set(names)) < len(names):
        found.append("every placeholder needs a name of its own")
    return [mistake for mistake in found if mistake]


def _mistake(text: str, *, last: bool) -> str | None:
    """What is wrong with one segment of a pattern, if anything."""
    if match := OURS.fullmatch(text):
        return f"{text} must be the last segment" if match[2] == "path" and not last else None
    if not text and not last:
        return "an empty segment (//) never matches"
    if text in {".", ".."}:
        return "a dot segment never matches"
    if _LIKE_PLACEHOLDER.fullmatch(text) or re.fullmatch(r"\[(?:\.\.\.)?\w+\]", text):
        return f"{text}: a placeholder is a whole segment: {FORMS}"
    if "*" in text:
        return f"{text}: there are no wildcards: write {{name}} for a segment, {{name:path}} for the rest"
    if not set(text).isdisjoint("[]|^") or (last and text.endswith("$")):
        return f"{text}: regular expressions are not known: write {FORMS}"
    if not text.isprintable() or not set(text).isdisjoint("%\\;?#"):
        return (
            f"{text!r}: write the path decoded, without query; control characters and % \\ ; ? # never match"
        )
    return None


def matches(segments: Sequence[Segment], texts: Sequence[str]) -> bool:
    """Whether a pattern matches what stands between the slashes of a path, read as plainly as it can be."""
    for index, segment in enumerate(segments):
        if segment.kind == "path":
            return index < len(texts)
        if index >= len(texts) or not segment.takes(texts[index]):
            return False
    return len(segments) == len(texts)
