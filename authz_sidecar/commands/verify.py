"""`authz-sidecar verify`: reads decisions and the archive, prints what was found.

Exit codes: 0 every decision was right, 1 one was not, or the archive contradicts itself, 2 it cannot be told.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from authz_sidecar.archive.files import texts
from authz_sidecar.commands.command import Command, not_negative, positive
from authz_sidecar.commands.log_files import Line, Unreadable, lines
from authz_sidecar.core.errors import ConfigurationError, Problem
from authz_sidecar.verify.archive import ArchiveError, replay
from authz_sidecar.verify.checker import DECISION_FIELDS, Evidence, Report, check

SHOWN: Final = 50
MAX_STALENESS: Final = 30.0
CLOCK_TOLERANCE: Final = 1.0
UNIQUE: Final = frozenset({"at", "request_id"})

_TEXT, _NOTHING = (str,), type(None)
_ID: Final = {"request_id": _TEXT}
NEEDED: Final[Mapping[str, Mapping[str, tuple[type, ...]]]] = {
    "decision": {
        **_ID,
        **dict.fromkeys(("code", "outcome"), _TEXT),
        **dict.fromkeys(("enforced", "revoking"), (bool,)),
        **dict.fromkeys(("epoch", "quantifier", "revision_at", "subject"), (str, _NOTHING)),
        **dict.fromkeys(("revision", "token_generation"), (int, _NOTHING)),
        "permissions": (list,),
        "status": (int,),
    },
    "failure": {**_ID, "status": (int,)},
    "retry": _ID,
    "answer": {**_ID, "status": (int, _NOTHING), "sent_at": (int, float)},
    "received": _ID,
}
"""What the judge reads of a line, by what it is a record of."""
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Files:
    """Where the evidence is: JSON lines, several files of a kind are read one after the other."""

    archive: Path
    decisions: Sequence[Path] = ()
    answers: Sequence[Path] | None = None
    received: Sequence[Path] | None = None


def verify(files: Files, max_staleness: float, clock_tolerance: float = CLOCK_TOLERANCE) -> int:
    """Print a report; returns the exit code. Raises ConfigurationError for what cannot be read."""
    unreadable = Unreadable()
    logged = _logged(files.decisions, unreadable, timed=files.answers is None)
    evidence = Evidence(
        decisions=logged["decision"],
        answers=_recorded(files.answers, "answer", unreadable),
        received=_recorded(files.received, "received", unreadable),
        failures=logged["failure"],
        retries=logged["retry"],
    )
    try:
        report = check(evidence, replay(texts(files.archive)), max_staleness, clock_tolerance)
    except OSError as error:
        raise ConfigurationError(
            [Problem(str(files.archive), f"cannot be read: {error.strerror}")]
        ) from error
    except ArchiveError as error:
        raise ConfigurationError([Problem("--archive", str(error))]) from error
    print("\n".join([*_worded(report, max_staleness), *unreadable.worded()]))
    return _exit_code(report, unreadable, alone=not files.decisions)


def _logged(paths: Sequence[Path], unreadable: Unreadable, *, timed: bool) -> dict[str, list[dict[str, Any]]]:
    """What the judge wants of the lines, by their type. Equal texts are kept once: a day has many lines.

    `timed`: nobody but the decision itself says when it was made.
    """
    logged: dict[str, list[dict[str, Any]]] = {"decision": [], "failure": [], "retry": []}
    texts: dict[str, str] = {}
    for line in lines(paths, unreadable, "verify"):
        kind = line.value.get("type")
        kept = logged.get(kind) if isinstance(kind, str) else None
        if kept is None or not _usable(line, str(kind), unreadable):
            continue
        if timed and kind == "decision" and not _is_instant(line.value.get("at")):
            unreadable.note(line.place, "at: is no instant of RFC 3339")
            continue
        found = {name: value for name, value in line.value.items() if name in DECISION_FIELDS}
        for name, value in found.items():
            if isinstance(value, str) and name not in UNIQUE:
                found[name] = texts.setdefault(value, value)
        kept.append(found)
    return logged


def _recorded(
    paths: Sequence[Path] | None, kind: str, unreadable: Unreadable
) -> Iterator[dict[str, Any]] | None:
    if paths is None:
        return None
    found = lines(paths, unreadable, "verify")
    return (line.value for line in found if _usable(line, kind, unreadable))


def _usable(line: Line, kind: str, unreadable: Unreadable) -> bool:
    """Whether it has what the judge needs of it; else that is noted."""
    for name, types in NEEDED[kind].items():
        value = line.value.get(name, _MISSING)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            wrong = "is missing" if value is _MISSING else "is of another kind than it should be"
            unreadable.note(line.place, f"{name}: {wrong}")
            return False
    return True


def _is_instant(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _exit_code(report: Report, unreadable: Unreadable, *, alone: bool) -> int:
    """`alone`: only the archive was asked about, so that what it lacks is an answer, too."""
    if report.violations or report.flaws or (alone and report.gaps):
        return 1
    return 2 if report.unjudged or unreadable.count or not report.covered else 0


def _worded(report: Report, max_staleness: float) -> Iterator[str]:
    yield from (f"archive   {each}" for each in report.covered or ["is empty"])
    yield from (f"GAP       {each}" for each in report.gaps)
    yield from (f"FLAW      {each}" for each in report.flaws)
    age = f"the oldest {report.oldest:.3f} s behind (allowed: {max_staleness:g} s)"
    yield f"{report.codes.total():,} decisions, {age}"
    yield from (f"  {count:>9,}  {code}" for code, count in report.codes.most_common())
    for word, found in (("WRONG", report.violations), ("UNJUDGED", report.unjudged)):
        yield from (f"{word:<9} {each}" for each in found[:SHOWN])
        if len(found) > SHOWN:
            yield f"{word:<9} and {len(found) - SHOWN:,} more"
    yield f"{len(report.violations):,} violations, {len(report.unjudged):,} decisions not judged"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Judges every logged decision by the archive of the permissions, independently of the code that "
        "decided: was it right at the revision that it names, and was that not too old? "
        "Without decisions the archive alone is checked. Formats: docs/archive.md."
    )
    parser.epilog = (
        "Exit codes: 0 every decision was right; 1 one was not, or the archive contradicts itself (alone: or "
        "has a gap); 2 it cannot be told of all."
    )
    archive = "archive of the revision log: the folder that `archive` writes, or one file"
    parser.add_argument("--archive", type=Path, required=True, metavar="PATH", help=archive)
    several = {
        "decisions": "decision logs of the sidecars; compressed ones end in .gz; - is standard input",
        "answers": "what the clients were answered, where they keep a record",
        "received": "what the upstream received, where it keeps a record",
    }
    for name, text in several.items():
        parser.add_argument(f"--{name}", type=Path, nargs="+", metavar="FILE", help=text)
    stale = f"the bound, as AUTHZ_MAX_STALENESS [default {MAX_STALENESS:g}]"
    parser.add_argument(
        "--max-staleness", type=positive, default=MAX_STALENESS, metavar="SECONDS", help=stale
    )
    clocks = f"how far a sidecar's clock may be ahead of the archive's [default {CLOCK_TOLERANCE:g}]"
    parser.add_argument(
        "--clock-tolerance", type=not_negative, default=CLOCK_TOLERANCE, metavar="SECONDS", help=clocks
    )


def _main(arguments: argparse.Namespace) -> int:
    files = Files(arguments.archive, arguments.decisions or (), arguments.answers, arguments.received)
    return verify(files, arguments.max_staleness, arguments.clock_tolerance)


COMMAND = Command("verify", "judge logged decisions by the archive of the permissions", _add_arguments, _main)
