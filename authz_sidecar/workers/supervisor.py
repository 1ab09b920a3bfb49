"""Starts the processes of one sidecar and replaces those that end.

It owns the listening sockets: a connection that waits in one survives whoever was to accept it. It has
no thread and no event loop, so that it can fork: a replacement has everything loaded and begins at once. And
it logs nothing, because a write may wait for ever: how one has ended, the one in its place tells.

    configuration, sockets ─▶ joining ─▶ running ── SIGTERM ─▶ workers end ── all have ─▶ follower ends
                                │           ├── a newer version is live ──▲
                                └───────────┴── a process never started ──▲

While an older version serves (`handover`), all processes join: none accepts before each could decide.
Then all are told to serve, and when they do, the older version is told to leave. A newer one is handed the
sockets here, and when it is live every process is told to leave.

A process ends when its socket to the supervisor does, so also when that one dies; the follower, which workers
need to the last, after them. SIGHUP is for the follower, which tells the workers; when all have put another
configuration into force, it is read here, too: for those that will be started. A silent follower is killed.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from authz_sidecar.config import configuration, descriptors
from authz_sidecar.config.configuration import Configuration
from authz_sidecar.core.errors import ConfigurationError
from authz_sidecar.fair import Shares
from authz_sidecar.feed.rendezvous import Rendezvous
from authz_sidecar.handover import TAKEN, Handover
from authz_sidecar.listening import Listeners
from authz_sidecar.workers.child import Child
from authz_sidecar.workers.place import ABLE, FOLLOWER, RELOADED, SERVE, STARTED, Place

BAD_CONFIGURATION: Final = 2
LOOK_SECONDS: Final = 0.25
BEYOND_DRAIN: Final = 10.0
"""Seconds that a worker may take to end beside those that its requests may."""
BEYOND_JOINING: Final = 2.0
"""Seconds after which it is said here who is not live; the follower says why before."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
HEARD = (*ENDING, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)

Serve = Callable[[Configuration, Place], None]
"""Be that process, until it is to end. Raises ConfigurationError."""


class Supervisor:
    """One sidecar of several processes."""

    def __init__(self, read: Configuration, serve: Serve) -> None:
        """Raises ConfigurationError when a port cannot be bound, or there are too many workers."""
        settings = read.settings
        descriptors.demand(settings.workers)
        self._configuration = read
        self._serve = serve
        self._listeners = Listeners(settings.handover)
        self._listeners.bind_all(settings)
        self._joins = self._listeners.has_older
        self._join_until = time.monotonic() + settings.handover.seconds + BEYOND_JOINING
        self._handover: Handover | None = None
        self._has_served = False
        """Whether all have come so far, and an older version was told to leave."""
        self._rendezvous = Rendezvous()
        self._shares = Shares(settings.workers)
        self._children = [Child(number) for number in range(settings.workers + 1)]
        self._signals = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._exit_code = 0
        self._problem: ConfigurationError | None = None
        self._kill_at: float | None = None
        """When those that are to end and have not are ended; `None` while the sidecar runs."""
        self._follower_ends_in = BEYOND_DRAIN / 2
        self._looked_at = time.monotonic()

    @property
    def _running(self) -> list[Child]:
        return [child for child in self._children if child.pid is not None]

    @property
    def _workers(self) -> list[Child]:
        return [child for child in self._running if child.number != FOLLOWER]

    def run(self) -> int:
        """Until told to stop. The exit code.

        Raises ConfigurationError when an older version had better go on.
        """
        signals, wakes = self._signals
        for end in self._signals:
            end.setblocking(False)
        for number in HEARD:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        self._selector.register(signals, selectors.EVENT_READ)
        gc.freeze()  # what is loaded now stays shared with all that are forked
        while self._running or self._kill_at is None:
            self._start_due()
            for key, _ in self._selector.select(LOOK_SECONDS):
                if key.fileobj is signals:
                    for signalled in signals.recv(1024):
                        self._signalled(signalled)
                else:
                    self._hear(key.data)
            self._reap()
            self._look(time.monotonic())
        if self._handover is not None:
            self._handover.close()
        self._listeners.close()
        self._rendezvous.close()
        if self._problem is not None:
            raise self._problem
        return self._exit_code

    # Starting

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if self._kill_at is None and child.due is not None and child.due <= now:
                self._start(child)

    def _start(self, child: Child) -> None:
        ours, theirs = socket.socketpair()
        place = Place(
            child.number,
            self._listeners,
            self._rendezvous,
            self._shares,
            theirs,
            child.replaces,
            self._joins,
        )
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become(place)
        theirs.close()
        child.started(pid, ours, time.monotonic())
        self._selector.register(ours, selectors.EVENT_READ, child)

    def _become(self, place: Place) -> None:
        """In the new process: nothing of the supervisor's is left open. Does not return."""
        exit_code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in HEARD:
                signal.signal(number, signal.SIG_IGN if number in ENDING else signal.SIG_DFL)
            for end in (*self._signals, *(child.socket for child in self._running)):
                if end is not None:
                    end.close()
            self._selector.close()
            self._listeners.disown()
            if self._handover is not None:
                self._handover.disown()
            self._serve(self._configuration, place)
            exit_code = 0
        except ConfigurationError as error:
            exit_code = BAD_CONFIGURATION
            for problem in error.problems:
                print(f"error: {problem}", file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(OSError):
                sys.stderr.flush()
            os._exit(exit_code)

    # What has happened

    def _signalled(self, number: int) -> None:
        if number in ENDING:
            self._stop(0)
        elif number == signal.SIGHUP:
            self._children[FOLLOWER].send(signal.SIGHUP)

    def _hear(self, child: Child) -> None:
        said = child.hear(time.monotonic())
        if not said:
            self._dismiss(child)
        if RELOADED in said:
            with suppress(ConfigurationError):  # they have changed again, which the follower will find, too
                self._configuration = configuration.read(self._configuration.sources)
        if ABLE in said or STARTED in said:
            self._advance()

    def _advance(self) -> None:
        """Who could serve does when all can; when all do, an older version may leave, and a newer come."""
        if self._joins and all(child.is_able for child in self._children):
            self._joins = False
            for child in self._children:
                child.tell(SERVE)
        if not self._has_served and all(child.has_started for child in self._children):
            self._has_served = True
            try:
                self._handover = self._listeners.take_over(time.monotonic)
            except ConfigurationError as problem:
                self._fail(problem)

    def _reap(self) -> None:
        for child, status in self._ended():
            code = child.ended(status, time.monotonic())
            if child.number != FOLLOWER:
                self._shares.leave(child.number - 1)
            if code == BAD_CONFIGURATION and not child.has_started and self._kill_at is None:
                self._stop(BAD_CONFIGURATION)

    def _ended(self) -> Iterator[tuple[Child, int]]:
        for child in self._running:
            pid, status = os.waitpid(child.pid or 0, os.WNOHANG)
            if pid:
                yield child, status

    def _stop(self, exit_code: int) -> None:
        if self._kill_at is not None:
            return
        self._exit_code = exit_code
        self._kill_at = time.monotonic() + self._drain_seconds + BEYOND_DRAIN
        for child in self._workers:
            self._dismiss(child)

    def _fail(self, problem: ConfigurationError) -> None:
        self._problem = problem
        self._stop(BAD_CONFIGURATION)

    def _leave(self) -> None:
        """Each process knows what it has yet to do."""
        self._follower_ends_in += self._drain_seconds
        self._kill_at = time.monotonic() + 2 * self._drain_seconds + BEYOND_DRAIN
        for child in self._running:
            child.tell(TAKEN)

    @property
    def _drain_seconds(self) -> float:
        return self._configuration.settings.limits.drain_seconds

    def _dismiss(self, child: Child) -> None:
        """By the end of its socket, which it notices whenever it comes so far."""
        if child.socket is not None:
            self._selector.unregister(child.socket)
            child.socket.close()
            child.socket = None

    def _look(self, now: float) -> None:
        was_away = now - self._looked_at > 4 * LOOK_SECONDS
        self._looked_at = now
        follower = self._children[FOLLOWER]
        if was_away:  # whoever was not running itself cannot tell who was silent
            follower.heard_at = now
        self._look_for_newer(follower)
        if self._kill_at is not None:
            self._end(follower, now, self._kill_at)
        elif self._joins and now > self._join_until:
            others = ", ".join(_name(child) for child in self._children if not child.is_able)
            self._fail(self._listeners.too_late(f"not live: {others}"))
        elif follower.pid is not None and now - follower.heard_at > follower.restarts.patience:
            follower.silent = True
            follower.send(signal.SIGKILL)

    def _look_for_newer(self, follower: Child) -> None:
        step = None if self._handover is None else self._handover.look()
        if step == TAKEN and self._kill_at is None:
            self._leave()
        elif step is not None:
            follower.tell(step)

    def _end(self, follower: Child, now: float, kill_at: float) -> None:
        """The follower when all workers have ended, and whoever takes too long."""
        if not self._workers and follower.socket is not None:
            self._dismiss(follower)
            self._kill_at = now + self._follower_ends_in
        elif now > kill_at:
            for child in self._workers or self._running:
                child.send(signal.SIGKILL)


def _name(child: Child) -> str:
    return "the follower" if child.number == FOLLOWER else f"worker {child.number}"
