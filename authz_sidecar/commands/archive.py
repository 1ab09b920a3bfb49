"""`authz-sidecar archive`: records the User service's revision log, until stopped or once.

Exit codes: 0 archived without a gap, 1 there is a gap in what was archived now, 2 it cannot go on.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import ClientSession, DummyCookieJar

from authz_sidecar.archive.files import ArchiveBroken, ArchiveInUse, Writer
from authz_sidecar.archive.recorder import ROTATED_BYTES, Recorder
from authz_sidecar.commands.command import Command, positive
from authz_sidecar.commands.settings import add_settings, sources
from authz_sidecar.config import reading
from authz_sidecar.core.errors import ConfigurationError, MalformedMessage, Problem, Unavailable
from authz_sidecar.process import SystemClock
from authz_sidecar.source import UserServiceClient

SETTINGS: Final = ("AUTHZ_USER_SERVICE", "AUTHZ_SERVICE_TOKEN")
INTERVAL: Final = 5.0
MEGABYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. `interval` in seconds."""

    folder: Path
    url: str
    token: str
    once: bool
    interval: float
    rotated_bytes: int


def archive(options: Options) -> int:
    """Returns the exit code. Raises ConfigurationError when the folder cannot be written to."""
    try:
        writer = Writer(options.folder)
    except (ArchiveInUse, ArchiveBroken) as error:
        raise ConfigurationError([Problem("--folder", str(error))]) from error
    except OSError as error:
        raise ConfigurationError([Problem("--folder", f"{options.folder}: {error.strerror}")]) from error
    try:
        return asyncio.run(_archive(options, writer))
    except OSError as error:
        _tell(f"{options.folder} cannot be written to: {error.strerror}; what is there stays whole")
        return 2
    finally:
        writer.close()


async def _archive(options: Options, writer: Writer) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ClientSession(cookie_jar=DummyCookieJar()) as session:
        clock = SystemClock()
        source = UserServiceClient(session, options.url, options.token, clock)
        recorder = Recorder(source, writer, clock, options.rotated_bytes)
        _tell(f"{options.folder} stands at {_standing(writer)}")
        failed = await _attempt(recorder, failed=False)
        while not options.once and not stop.is_set():
            await _wait(stop, options.interval)
            failed = await _attempt(recorder, failed=failed)
    _tell(f"{options.folder} stands at {_standing(writer)}")
    return 2 if failed else 1 if recorder.gaps else 0


async def _attempt(recorder: Recorder, *, failed: bool) -> bool:
    """Whether it failed. An outage is told once, and its end; a gap at once."""
    known = len(recorder.gaps)
    try:
        await recorder.catch_up()
    except (Unavailable, MalformedMessage) as error:
        if not failed:
            _tell(f"cannot archive now: {error}")
        return True
    finally:
        for gap in recorder.gaps[known:]:
            _tell(f"GAP {gap}")
    if failed:
        _tell("archiving again")
    return False


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass


def _standing(writer: Writer) -> str:
    position = writer.position
    return f"revision {position.revision} of {position.epoch[:8]}" if position else "nothing yet"


def _tell(message: str) -> None:
    print(f"archive: {message}", file=sys.stderr, flush=True)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Keeps what decisions were made from, for `verify`, `replay` and `explain --at`: every revision that "
        "the User service's log had. Stopped at any moment, it goes on where it was."
    )
    parser.epilog = (
        "Exit codes: 0 archived without a gap; 1 the log no longer had what comes next, so there is a gap; "
        "2 it cannot go on."
    )
    parser.add_argument(
        "--folder", type=Path, required=True, metavar="PATH", help="where the archive's files are"
    )
    add_settings(parser, SETTINGS)
    parser.add_argument("--once", action="store_true", help="archive what is there now, and end")
    every = f"how often the log is asked for [default {INTERVAL:g}]"
    parser.add_argument("--interval", type=positive, default=INTERVAL, metavar="SECONDS", help=every)
    rotate = f"begin another file, with a snapshot, after so much [default {ROTATED_BYTES // MEGABYTE}]"
    parser.add_argument(
        "--rotate", type=positive, default=ROTATED_BYTES / MEGABYTE, metavar="MEGABYTES", help=rotate
    )


def _main(arguments: argparse.Namespace) -> int:
    given = sources(arguments)
    url, token = reading.some(SETTINGS, given.flags, os.environ)
    rotated_bytes = int(arguments.rotate * MEGABYTE)
    return archive(Options(arguments.folder, url, token, arguments.once, arguments.interval, rotated_bytes))


COMMAND = Command("archive", "record the revision log, for verify and explain --at", _add_arguments, _main)
