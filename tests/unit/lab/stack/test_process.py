"""Child processes end with their owner, and waiting says what it waited for."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest

import lab.stack.process
from lab import DEADLINE, ROOT
from lab.stack.process import Process, StackError, free_port, run, wait_for
from lab.stack.signals import undisturbed

PARENT = """
    import subprocess, sys
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    print(child.pid, flush=True)
    child.wait()
"""
STUBBORN = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    time.sleep(600)
"""

Launch = Callable[[str], Process]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    started: list[Process] = []

    def start(code: str) -> Process:
        process = Process([sys.executable, "-c", textwrap.dedent(code)], log_path=tmp_path / "log")
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


def printed(process: Process) -> str:
    return wait_for(process.log_tail, DEADLINE, "output", process)


def state(pid: int) -> str:
    """The letter that /proc gives a process; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def gone(pid: int) -> bool:
    return state(pid) in ("", "Z")  # a zombie waits for its new parent, it does not run


@pytest.mark.parametrize("end", [Process.stop, Process.kill])
def test_ending_ends_children_in_other_groups_too(launch: Launch, end: Callable[[Process], None]) -> None:
    parent = launch(PARENT)
    child = int(printed(parent))
    end(parent)
    assert not parent.alive
    wait_for(lambda: gone(child), DEADLINE, "the end of the child")


def test_stop_is_not_stopped_by_a_program_that_ignores_it(launch: Launch) -> None:
    process = launch(STUBBORN)
    printed(process)
    process.stop(grace=0.1)
    assert process.exit_code == -signal.SIGKILL


def test_a_suspended_process_can_be_resumed_and_stopped(launch: Launch) -> None:
    parent = launch(PARENT)
    child = int(printed(parent))
    parent.suspend()
    wait_for(lambda: state(parent.pid) == state(child) == "T", DEADLINE, "both frozen")
    parent.resume()
    wait_for(lambda: state(child) == "S", DEADLINE, "the child awake")
    parent.suspend()
    parent.stop()
    assert not parent.alive


def test_a_process_can_be_started_again_but_not_twice(launch: Launch) -> None:
    process = launch(STUBBORN)
    with pytest.raises(StackError, match="runs already"):
        process.start()
    process.kill()
    process.start()
    assert process.alive


def test_waiting_for_a_process_that_ended_shows_its_last_words(launch: Launch) -> None:
    process = launch("raise SystemExit('no such database')")
    with pytest.raises(StackError, match=r"(?s)start of it: .*ended with exit code 1.*no such database"):
        wait_for(lambda: False, DEADLINE, "start of it", process)


def test_waiting_names_what_did_not_happen_and_the_last_problem() -> None:
    def condition() -> bool:
        raise ConnectionRefusedError("nobody there")

    with pytest.raises(StackError, match=r"^an answer: not within 0 s \(last: nobody there\)$"):
        wait_for(condition, 0, "an answer")


def test_wait_for_hands_on_the_first_true_result() -> None:
    results = iter([None, 0, "third"])
    assert wait_for(lambda: next(results), DEADLINE, "a result") == "third"


COMMANDS = [
    ("print('done')", None),
    ("raise SystemExit('no such table')", r"(?s)the command failed:.*no such table"),
    ("import time; time.sleep(600)", "the command: not within 1 s"),
]


@pytest.mark.parametrize(("code", "message"), COMMANDS)
def test_a_short_command_is_done_or_says_why_not(code: str, message: str | None) -> None:
    argv = [sys.executable, "-c", code]
    if message is None:
        assert run(argv, "the command", env={}, deadline=DEADLINE) == "done\n"
        return
    with pytest.raises(StackError, match=message):
        run(argv, "the command", env={}, deadline=1 if "600" in code else DEADLINE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_a_started_child_is_known(number: signal.Signals) -> None:
    reached = []

    @undisturbed()
    def start() -> None:
        signal.raise_signal(number)
        reached.append("the end")

    previous = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            start()
    finally:
        signal.signal(number, previous)
    assert reached == ["the end"]


def a_short_command(_log_path: Path) -> None:
    run(["true"], "the command", env={}, deadline=DEADLINE)


def a_long_program(log_path: Path) -> Process:
    process = Process(["sleep", "600"], log_path=log_path)
    try:
        process.start()
        wait_for(lambda: process.alive, DEADLINE, "its start", process)
    finally:
        process.stop()
        assert not process.alive
    return process


Work = Callable[[Path], object]


class Lines:
    """Sees each line that is run in the modules that start programs; SIGTERM comes at the first of one."""

    MODULES = (lab.stack.process.__file__, subprocess.__file__)

    def __init__(self, struck: tuple[str, int] | None = None) -> None:
        self.seen: dict[tuple[str, int], None] = {}
        self._struck = struck

    def __call__(self, frame: FrameType, event: str, _argument: object) -> Callable[..., object] | None:
        if frame.f_code.co_filename not in self.MODULES:
            return None
        line = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and line not in self.seen:
            self.seen[line] = None
            if line == self._struck:
                signal.raise_signal(signal.SIGTERM)
        return self

    def during(self, work: Work, log_path: Path) -> object:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            return work(log_path)
        finally:
            sys.settrace(before)


@pytest.mark.parametrize("work", [a_short_command, a_long_program])
def test_a_signal_may_come_at_any_line(work: Work, tmp_path: Path) -> None:
    calm = Lines()
    calm.during(work, tmp_path / "log")
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for line in calm.seen:
            struck = Lines(struck=line)
            with suppress(KeyboardInterrupt):
                struck.during(work, tmp_path / "log")
                assert line not in struck.seen, "the signal was lost"
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_ports_are_not_given_twice() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == len(ports)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_an_owner_that_is_asked_to_end(tmp_path: Path, number: signal.Signals) -> None:
    owner_code = """
        import signal, sys, time
        from pathlib import Path
        from lab.stack.process import Process
        from lab.stack.signals import exit_on_sigterm
        exit_on_sigterm()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
        child = Process([sys.executable, "-c", "import time; time.sleep(600)"], log_path=Path(sys.argv[1]))
        child.start()
        print(child.pid, flush=True)
        while True:
            time.sleep(0.1)  # A signal that comes just before a call that waits for ever would wait as well.
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(owner_code), tmp_path / "child.log"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    with owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        owner.send_signal(number)
        owner.wait(20)
    wait_for(lambda: gone(child), DEADLINE, "the end of the child")
