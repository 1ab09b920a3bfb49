"""Child processes that do not outlive their owner, and waiting for conditions instead of for time."""

from __future__ import annotations

import atexit
import os
import pwd
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

from lab.stack.signals import undisturbed

T = TypeVar("T")

# Below the range from which the kernel picks ports of outgoing connections, so that a port stays
# free while its server is restarted.
_PORTS = range(15_000, 32_000)
_given: set[int] = set()


class StackError(Exception):
    """A part of the stack did not do what was asked of it."""


def free_port() -> int:
    """A loopback port that nothing listens on and that this process was not given before."""
    for _ in range(1_000):
        port = random.SystemRandom().choice(_PORTS)
        if port not in _given and _can_bind(port):
            _given.add(port)
            return port
    raise StackError("no free port found")


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Process:
    """One program in a process group of its own, its output in a file."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        handed: Sequence[int] = (),
    ) -> None:
        """`env` is added to ours. `user`: run as this one (only root can). `handed`: descriptors to share."""
        self.argv = [str(part) for part in argv]
        self.log_path = log_path
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._user = user
        self._stop_signal = stop_signal
        self._handed = handed
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._started().pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        with undisturbed():
            return self._child.poll() if self._child else None

    def pids(self) -> list[int]:
        """The program's own and those of all that it started."""
        return [self.pid, *_descendants(self.pid)]

    def start(self) -> None:
        if self.alive:
            raise StackError(f"{self.argv[0]} runs already")
        with self.log_path.open("ab") as log, undisturbed():
            self._child = subprocess.Popen(
                self.argv,
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self._handed,
                **_identity(self._user),
            )
            _running.add(self)

    @undisturbed()
    def stop(self, grace: float = 10) -> None:
        """Asks the program to end; after `grace` seconds ends it. Then ends all that it started."""
        if not self.alive:
            self.kill()
            return
        family = _descendants(self.pid)
        self.resume()
        self._started().send_signal(self._stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self._started().wait(grace)
        self._end(family)

    @undisturbed()
    def kill(self) -> None:
        """Ends the program and all it started, as a power cut would."""
        if self in _running:
            self._end(_descendants(self.pid))

    def _end(self, family: list[int]) -> None:
        _signal_all(self.pid, family, signal.SIGKILL)
        self._started().wait()
        _running.discard(self)

    def suspend(self) -> None:
        """Freezes the program and all it started: its sockets stay open and silent."""
        _signal_all(self.pid, _descendants(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        _signal_all(self.pid, _descendants(self.pid), signal.SIGCONT)

    def log_tail(self, lines: int = 20) -> str:
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise StackError(f"{self.argv[0]} was not started")
        return self._child


def run(
    argv: Sequence[str], what: str, *, env: Mapping[str, str], cwd: Path | None = None, deadline: float
) -> str:
    """What a short command prints. Raises StackError with `what` and its complaint."""
    with TemporaryFile("w+") as printed, TemporaryFile("w+") as complaint:
        streams = {"stdin": subprocess.DEVNULL, "stdout": printed, "stderr": complaint}
        with undisturbed() as came:
            exit_code = _run(argv, what, deadline, came, env={**os.environ, **env}, cwd=cwd, **streams)
        said = [_text(stream) for stream in (printed, complaint)]
    if exit_code:
        raise StackError(f"{what} failed:\n{said[1] or said[0]}")
    return said[0]


def _run(argv: Sequence[str], what: str, deadline: float, came: Sequence[int], **options: Any) -> int | None:
    """The exit code; the command is ended when a signal has come."""
    child = subprocess.Popen(argv, start_new_session=True, **options)
    try:
        wait_for(lambda: came or child.poll() is not None, deadline, what)
    finally:
        if child.poll() is None:
            _signal_all(child.pid, _descendants(child.pid), signal.SIGKILL)
            child.wait()
    return child.returncode


def _text(stream: IO[str]) -> str:
    stream.seek(0)
    return stream.read()


def _signal_all(group: int, family: list[int], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has ended by itself
        os.killpg(group, number)
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _identity(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


_running: set[Process] = set()


@atexit.register
def _end_leftovers() -> None:
    for process in list(_running):
        process.kill()


def _descendants(pid: int) -> list[int]:
    """Children of `pid`, their children, and so on, where the system has a /proc to tell.

    Some programs put their children into groups of their own: PostgreSQL, Erlang.
    """
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found = list(children.get(pid, ()))
    for child in found:  # grows while it is walked
        found.extend(children.get(child, ()))
    return found


def wait_for(
    condition: Callable[[], T],
    deadline: float,
    what: str,
    process: Process | None = None,
    pause: float = 0.02,
) -> T:
    """The first true result of `condition`, asked again for at most `deadline` seconds.

    An `OSError` counts as "not yet". Gives up early when `process` has ended.
    """
    ends = time.monotonic() + deadline
    while True:
        latest: OSError | None = None
        try:
            if result := condition():
                return result
        except OSError as error:
            latest = error
        died = process is not None and not process.alive
        if died or time.monotonic() > ends:
            raise StackError(_failure(what, deadline, process, latest))
        time.sleep(pause)


def _failure(what: str, deadline: float, process: Process | None, latest: OSError | None) -> str:
    message = f"{what}: not within {deadline:g} s"
    if process is not None and not process.alive:
        message = f"{what}: {process.argv[0]} ended with exit code {process.exit_code}"
    if latest is not None:
        message += f" (last: {latest})"
    if process is not None:
        message += f"; the end of {process.log_path}:\n{process.log_tail()}"
    return message
