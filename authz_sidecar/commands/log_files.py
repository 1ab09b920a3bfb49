"""Files of JSON lines, one after the other: as they are, compressed with gzip, or standard input."""

from __future__ import annotations

import gzip
import io
import json
import sys
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

from authz_sidecar.commands.progress import Progress
from authz_sidecar.core.errors import ConfigurationError, MalformedMessage, Problem
from authz_sidecar.observe.logged import Logged, Reader

STANDARD_INPUT: Final = Path("-")
TOLD: Final = 5
"""Lines that cannot be read of which it is said why."""
_PROGRESS_LINES: Final = 1024


class Line(NamedTuple):
    """One line, and where it stands."""

    place: str
    value: dict[str, Any]


class Unreadable:
    """Lines that are no JSON objects, or lack what their type needs: a process that was killed leaves one."""

    def __init__(self) -> None:
        self.count = 0
        self.told: list[str] = []
        """What is wrong with the first ones, with file and line."""

    def note(self, place: str, why: object) -> None:
        self.count += 1
        if len(self.told) < TOLD:
            self.told.append(f"{place}: {why}")

    def worded(self) -> list[str]:
        """For people; nothing where all could be read."""
        if not self.count:
            return []
        told = [f"{self.count:,} lines cannot be read:", *self.told]
        more = self.count - len(self.told)
        return ["", *told, f"and {more:,} more"] if more else ["", *told]


def lines(paths: Sequence[Path], unreadable: Unreadable, what: str) -> Iterator[Line]:
    """All objects. Raises ConfigurationError for files that cannot be opened, before the first line."""
    progress = Progress(what, _sizes(paths))
    before = count = 0
    for path in paths:
        with (
            sys.stdin.buffer if path == STANDARD_INPUT else path.open("rb") as raw,
            closing(_texts(path, raw, unreadable)) as texts,
        ):
            for number, text in enumerate(texts, 1):
                count += 1
                if not count % _PROGRESS_LINES:
                    progress.at(before + _position(raw), count)
                try:
                    value = json.loads(text)
                except (ValueError, RecursionError):
                    unreadable.note(f"{path}:{number}", "not JSON")
                    continue
                if isinstance(value, dict):
                    yield Line(f"{path}:{number}", value)
                else:
                    unreadable.note(f"{path}:{number}", "no JSON object")
            before += _position(raw)
    progress.end()


def decisions(paths: Sequence[Path], unreadable: Unreadable, what: str) -> Iterator[Logged]:
    """The decisions of logs. Lines of other types are passed over."""
    reader = Reader()
    for place, line in lines(paths, unreadable, what):
        if line.get("type") == "decision":
            try:
                yield reader.read(line)
            except MalformedMessage as error:
                unreadable.note(place, error)


def _texts(path: Path, raw: BinaryIO, unreadable: Unreadable) -> Generator[str, None, None]:
    binary = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
    texts = io.TextIOWrapper(binary, "utf-8", "replace")
    try:
        yield from texts
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        wrong = "is cut off" if isinstance(error, EOFError) else "is no sound gzip file"
        unreadable.note(str(path), wrong)
    finally:
        if not raw.closed:  # as it is when nobody reads on
            texts.detach()  # whoever opened the file closes it


def _sizes(paths: Sequence[Path]) -> int:
    """Of all files together; 0 where standard input is among them."""
    problems, size = [], 0
    for path in paths:
        try:
            if path != STANDARD_INPUT:
                with path.open("rb"):
                    size += path.stat().st_size
        except OSError as error:
            problems.append(Problem(str(path), f"cannot be read: {error.strerror}"))
    if problems:
        raise ConfigurationError(problems)
    return 0 if STANDARD_INPUT in paths else size


def _position(raw: BinaryIO) -> int:
    return raw.tell() if raw.seekable() else 0
