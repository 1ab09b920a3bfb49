"""The files of an archive: found, read in order, begun, continued after any end, and never written by two."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from authz_sidecar.core.documents import Document
from authz_sidecar.core.entities import Position
from authz_sidecar.core.errors import AuthzError, MalformedMessage

NAME: Final = re.compile(r"[0-9]{8}\.jsonl")
LOCK: Final = "lock"


class ArchiveInUse(AuthzError):
    """Another process writes this archive."""


class ArchiveBroken(AuthzError):
    """The files cannot be gone on from; the message names file and line."""


class Text(NamedTuple):
    """A line, and where it stands: `file:number`."""

    place: str
    text: str


def paths(archive: Path) -> list[Path]:
    """The files of an archive, in order: the folder's, or the one file. Raises OSError."""
    if archive.is_dir():
        return sorted(each for each in archive.iterdir() if NAME.fullmatch(each.name))
    return [archive]


def texts(archive: Path) -> Iterator[Text]:
    """All lines. One that was not ended is being written, or was torn: it is left out. Raises OSError."""
    for path in paths(archive):
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, text in enumerate(file, 1):
                if text.endswith("\n"):
                    yield Text(f"{path}:{number}", text)


class Writer:
    """Writes the newest file of a folder. Close it."""

    def __init__(self, folder: Path) -> None:
        """Takes the archive up where it ends. Raises ArchiveInUse, ArchiveBroken and OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = _locked(folder / LOCK)
        self._file: BinaryIO | None = None
        self.position: Position | None = None
        """Where the archive stands; `None` before its first snapshot."""
        try:
            self._take_up()
        except BaseException:
            self._lock.close()
            raise

    @property
    def size(self) -> int:
        """Bytes in the newest file."""
        return self._file.tell() if self._file else 0

    def begin(self) -> None:
        """Another file, for the snapshot that comes."""
        number = int(self._newest().stem) + 1 if self._file else 1
        self.close_file()
        self._file = (self._folder / f"{number:08}.jsonl").open("xb")

    def write(self, line: bytes) -> None:
        """A line without its end."""
        if self._file is None:
            raise ValueError("a file must be begun first")
        self._file.write(line + b"\n")

    def keep(self, position: Position) -> None:
        """What was written is to outlive a loss of power, and the archive stands there."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
        self.position = position

    def discard(self) -> None:
        """The file that was begun last comes to nothing."""
        path = self._newest()
        self.close_file()
        path.unlink()
        self._take_up()

    def close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self) -> None:
        self.close_file()
        self._lock.close()

    def _newest(self) -> Path:
        return paths(self._folder)[-1]

    def _take_up(self) -> None:
        """Go on after the last whole entry: what a killed process left unfinished goes."""
        while files := paths(self._folder):
            newest = files[-1]
            whole, position = _whole(newest)
            if position is not None:
                self._file = newest.open("r+b")
                self._file.truncate(whole)
                self._file.seek(whole)
                self.position = position
                return
            newest.unlink()  # not even its snapshot is whole
        self.position = None


def _locked(path: Path) -> BinaryIO:
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ArchiveInUse(f"{path.parent}: another process is writing this archive") from None
    return file


def _whole(path: Path) -> tuple[int, Position | None]:
    """Up to which byte a file consists of whole entries, and where it stands there."""
    read = whole = 0
    position: Position | None = None
    begun: Position | None = None
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            if not text.endswith(b"\n"):
                break
            read += len(text)
            line = _parsed(text, f"{path}:{number}")
            kind = line.value("type")
            if kind == "snapshot":
                begun = line.position()
            elif kind == "change" or (kind == "end" and begun is not None):
                whole, position, begun = read, begun or line.position(), None
    return whole, position


def _parsed(text: bytes, place: str) -> Document:
    try:
        return Document.parse(text, "line")
    except MalformedMessage as error:
        raise ArchiveBroken(f"{place}: {error}") from error
