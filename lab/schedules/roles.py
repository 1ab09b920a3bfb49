"""The parts of a schedule: who does what in it, how far it is, and what it executes."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import connection, transaction

from lab.schedules import product
from lab.schedules.actors import Actor, Job
from lab.schedules.catalogue import Writer
from lab.schedules.catalogue.writers import execute
from lab.schedules.schedule import ISOLATION, Part


@dataclass
class Role:
    """One part of the schedule, and how far it is."""

    part: Part
    actor: Actor
    writer: Writer | None
    begun: bool = False
    ended: bool = False
    killed: bool = False
    statement: str = ""
    """The one it is parked before, or executing."""
    waits: set[str] = field(default_factory=set)
    marked: bool = True
    """Whether something was, when it began."""
    contains: int = 0
    """For ours: commits before it began; for a writer: the number of its own."""

    @property
    def name(self) -> str:
        return self.part.name

    @property
    def ours(self) -> bool:
        return self.writer is None


def job(role: Role) -> Job:
    if role.writer is None:
        return product.ACTIONS[role.part.what]
    writer, part = role.writer, role.part

    def write(_: Actor) -> product.Said:
        since = product.last_change() if part.answered else 0
        for statement in writer.outside[:1]:
            execute(statement)
        try:
            _transact(writer, part.isolation)
        finally:
            for statement in writer.outside[1:]:
                execute(statement)
        return product.answered(since) if part.answered else product.Said()

    return write


def _transact(writer: Writer, isolation: str) -> None:
    if writer.autocommit:
        writer.body(execute)
        return
    with transaction.atomic():
        if connection.vendor == "postgresql" and isolation != "rc":
            execute(f"SET TRANSACTION ISOLATION LEVEL {ISOLATION[isolation]}")
        writer.body(execute)
        if connection.vendor == "postgresql":
            # Whatever could make it wait is done before the commit: in which order they commit is then known.
            execute("/* checks */ SET CONSTRAINTS ALL IMMEDIATE")
        connection.run_on_commit = []  # the schedule says when the log is brought up to date
