"""A player that was interrupted goes on with the next schedule as if nothing had been."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from lab.schedules.actors import Actor
from lab.schedules.player import Player
from lab.schedules.schedule import parse


class Interrupted(BaseException):
    """As a test is that takes too long."""


Interrupt = Callable[[BaseException], None]


@pytest.fixture(params=["waiting for somebody", *(f"in its command {number}" for number in (1, 6, 12))])
def interrupt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, player: Player) -> Interrupt:
    """Has the next schedule end with an error, once, while others are in the middle of something."""
    *_, number = request.param.split()
    if number.isdigit() and player.database == "sqlite":
        pytest.skip("there its commands are calls")
    left = [int(number) if number.isdigit() else 6]

    def now() -> bool:
        left[0] -= threading.current_thread() is threading.main_thread()
        return left[0] == 0

    def with_error(error: BaseException) -> None:
        event, wait = Actor.event, psycopg.Connection.wait

        def interrupted_event(actor: Actor, seconds: float) -> object:
            if now():
                raise error
            return event(actor, seconds)

        def interrupted_wait(connection: Any, command: Any, *arguments: Any, **options: Any) -> Any:
            if now():
                next(command)  # it is sent, and its answer is not taken
                raise error
            return wait(connection, command, *arguments, **options)

        if number.isdigit():
            monkeypatch.setattr(psycopg.Connection, "wait", interrupted_wait)
        else:
            monkeypatch.setattr(Actor, "event", interrupted_event)

    return with_error


def play(player: Player) -> tuple[str, ...]:
    level = ":rc" if player.database == "postgresql" else ""
    text = f"{player.database} a=grant{level} b=leave{level} r=run s=head | a2 r3 a* r* b* s*"
    return player.play(parse(text)).wrong


def test_what_fails_is_told_and_the_next_one_is_played(player: Player, interrupt: Interrupt) -> None:
    assert play(player) == ()
    interrupt(RuntimeError("it fails"))
    assert play(player) == ("the explorer itself fails: RuntimeError('it fails')",)
    assert play(player) == ()


def test_whoever_is_interrupted_does_not_spoil_the_next_one(player: Player, interrupt: Interrupt) -> None:
    assert play(player) == ()
    interrupt(Interrupted())
    with pytest.raises(Interrupted):
        play(player)
    assert play(player) == ()
