"""Placeholders as other frameworks write them, rewritten as ours: a mistake is answered with what is right.

Without this `/students/:id` would be literal text that no request has, and its rule would never match.
"""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
_KIND: Final = r"(?P<kind>.+)"

OURS: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::(int|uuid|path))?\}")
"""A placeholder as it is written here: its name and its kind."""

_SPELLINGS: Final = tuple(
    re.compile(spelling)
    for spelling in (
        rf"<(?:{_KIND}:)?{_NAME}>",  # Django, Flask
        rf":{_NAME}(?:\({_KIND}\))?\??",  # Express, Rails
        rf"\(\?P<{_NAME}>{_KIND}\)",  # a regular expression
        rf"\{{(?P<kind>int|str|string|uuid|slug|path):{_NAME}\}}",
        rf"\$?\{{{_NAME}(?::{_KIND})?\}}",  # ours with a kind of another's: FastAPI, chi, Spring
        rf"\{{\{{{_NAME}\}}\}}",
        rf"\[{_NAME}\]",  # Next.js
    )
)
_RESTS: Final = tuple(
    re.compile(spelling)
    for spelling in (
        rf":{_NAME}[*+]",
        rf"\*{_NAME}",
        rf"\[\.\.\.{_NAME}\]",
        rf"\{{{_NAME}(?:\.\.\.|\+)\}}",
        rf"\{{[*+]{{1,2}}{_NAME}\}}",
    )
)
_UNNAMED: Final = (  # a regular expression, and what stands for it: name, kind, whether it must be the last
    (re.compile(r"\(?(?:\\d|\[0-9\])(?:[+*]|\{[\d,]+\})?\)?"), "id", "int", False),
    (re.compile(r"\(?\.[*+]\??\)?"), "rest", "path", True),
    (re.compile(r"\(?(?:\\w|\[[^\]]*\])[*+]\)?"), "name", "segment", False),
)
_DIGITS: Final = re.compile(r"int|integer|num|number|digits|long|(?:\\d|\[0-9\])(?:[+*]|\{.*\})?")
_ANYTHING: Final = re.compile(r"path|\.[*+]\??")
_UUID: Final = re.compile(r"(?:uuid|guid)(?:4|_v4)?", re.IGNORECASE)


def ours(path: str) -> str | None:
    """The pattern as it is written here; `None` when it has no foreign placeholder."""
    anchored = path.startswith("^")
    bare = path.removeprefix("^").removesuffix("$" if anchored else "\0").removeprefix("/")
    texts = bare.replace("[^/]", r"\w").split("/")
    taken: set[str] = set()
    written = [_segment(text, last=index == len(texts) - 1, taken=taken) for index, text in enumerate(texts)]
    return "/" + "/".join(written) if anchored or written != texts else None


def _segment(text: str, *, last: bool, taken: set[str]) -> str:
    if match := OURS.fullmatch(text):
        taken.add(match[1])
        return text
    if text in {"*", "**"}:
        return _placeholder("rest" if last else "name", "path" if last else "segment", taken)
    for spelling in _SPELLINGS:
        if match := spelling.fullmatch(text):
            return _placeholder(match["name"], _kind(match.groupdict().get("kind")), taken)
    for spelling in _RESTS:
        if match := spelling.fullmatch(text):
            return _placeholder(match["name"], "path", taken)
    for spelling, name, kind, at_the_end in _UNNAMED:
        if spelling.fullmatch(text) and (last or not at_the_end):
            return _placeholder(name, kind, taken)
    return text


def _kind(theirs: str | None) -> str:
    if theirs is None:
        return "segment"
    if _DIGITS.fullmatch(theirs):
        return "int"
    if _UUID.fullmatch(theirs):
        return "uuid"
    return "path" if _ANYTHING.fullmatch(theirs) else "segment"


def _placeholder(name: str, kind: str, taken: set[str]) -> str:
    """With a name that no other placeholder of this path has."""
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}{number}"
    taken.add(unique)
    return f"{{{unique}}}" if kind == "segment" else f"{{{unique}:{kind}}}"
