"""Plays a schedule, for real, and writes its history."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import psycopg
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, InternalError, OperationalError
from psycopg import errors

from lab.schedules import product, world
from lab.schedules.actors import Actor, Ended, Event, Killed, Parked
from lab.schedules.catalogue import CATALOGUE, Writer
from lab.schedules.catalogue.rows import GivenUp
from lab.schedules.databases import Database
from lab.schedules.history import Claim, Commit, History, Revision
from lab.schedules.roles import Role, job
from lab.schedules.schedule import GIVE_WAY, KILL, Part, Schedule

AT_WORK = 0.01
"""Seconds after which a statement is suspected to wait."""
MOST_PATIENCE = 0.1
STUCK = 20.0
"""Seconds after which something will never end."""
GIVES_WAY = 1.0
"""Seconds that ours may wait for a writer: the database would call it a deadlock then."""
COMMIT = "COMMIT"
LOOKS_ONLY_WHEN_MARKED = ("run", "sequence", "head", "changes", "snapshot", "subject")
WRITERS_TROUBLE = (
    *(GivenUp, Killed, ObjectDoesNotExist, IntegrityError, OperationalError, InternalError),
    *(psycopg.IntegrityError, psycopg.OperationalError),  # from COPY, which Django knows nothing of
)
"""How a writer may fail without our fault: another writer was there first."""


class Stage:
    """One database and its actors, for one schedule after another."""

    def __init__(self, database: Database, used: list[Writer]) -> None:
        self.database = database
        self.used = used
        """Writers that have been at it since it was restored."""
        self._actors: dict[str, Actor] = {}

    def play(self, schedule: Schedule) -> History:
        crowd = schedule.crowd or world.SMALL_CROWD
        self.database.restore(crowd, self.used)
        self.used = [CATALOGUE[part.what] for part in schedule.parts if part.what in CATALOGUE]
        roles = [self._role(part) for part in schedule.parts]
        self.database.watch(exclusive=any(writer.exclusive for writer in self.used))
        with product.limits(schedule.limit):
            try:
                return _Play(self.database, schedule, roles).history
            finally:
                self.database.unwatch()

    def _role(self, part: Part) -> Role:
        if part.name not in self._actors:
            self._actors[part.name] = Actor(part.name)
        return Role(part, self._actors[part.name], CATALOGUE.get(part.what))

    def abandon(self) -> None:
        """Something went wrong: whoever is in the middle of something is given up, and so is this stage."""
        self.database.abandon()
        for actor in self._actors.values():
            actor.abandon()

    def close(self) -> None:
        for actor in self._actors.values():
            actor.end()
        self.database.close()


class _Play:
    def __init__(self, database: Database, schedule: Schedule, roles: list[Role]) -> None:
        self._database = database
        self._roles = {role.name: role for role in roles}
        begin = Commit("nobody", world.state(database.rows()))
        self.history = History(schedule, database.head(), database.entities(), [begin])
        writers = [role.writer for role in roles if role.writer]
        self._marks_tell_all = not any(writer.schema or writer.unproved for writer in writers)
        for move in schedule.moves:
            self._move(self._roles[move.name], move.statements)
        self._finish()
        self._complete()

    def _move(self, role: Role, statements: int) -> None:
        if statements == KILL:
            self._kill(role)
        elif statements == GIVE_WAY:
            self._give_way(role)
        else:
            while statements != 0 and self._step(role):
                statements -= 1

    def _step(self, role: Role) -> bool:
        """Let it go on by one statement; whether it could."""
        if not role.begun:
            self._begin(role)
        if role.ended or role.waits:
            return False
        if self._database.must_wait(role.actor, role.statement, self._others(role)):
            return False
        self.history.trace.append(f"{role.name}  {' '.join(role.statement.split())}")
        role.actor.proceed()
        self._await(role)
        self._settle()
        return True

    def _begin(self, role: Role) -> None:
        role.begun = True
        role.contains = len(self.history.commits) - 1
        role.marked = role.part.what not in LOOKS_ONLY_WHEN_MARKED or bool(self._marks())
        role.actor.begin(job(role))
        self._await(role)

    def _await(self, role: Role) -> None:
        """Until it is parked again, at its end, or waits for another."""
        patience, deadline = AT_WORK, time.monotonic() + STUCK
        while time.monotonic() < deadline:
            if event := role.actor.event(patience):
                self._came_to(role, event)
                return
            patience = min(2 * patience, MOST_PATIENCE)
            if waits := self._database.waits_for(role.actor, self._others(role)):
                self._waits(role, waits)
                return
        raise TimeoutError(f"{role.name} goes on for ever with {role.statement}")

    def _settle(self) -> None:
        """See who need not wait any longer."""
        for role in self._roles.values():
            if not role.waits:
                continue
            if event := role.actor.event(0):
                self._came_to(role, event)
            elif not self._database.waits_for(role.actor, self._others(role)):
                role.waits = set()
                self._await(role)

    def _waits(self, role: Role, waits: set[str]) -> None:
        if not role.waits:
            self.history.trace.append(f"{role.name}  … waits for {', '.join(sorted(waits))}")
        role.waits = waits
        ours = {name for name in waits if self._at_our_work(self._roles[name])}
        if (
            role.writer
            and ours
            and not self._has_committed(role)
            and not (role.writer.schema or role.writer.exclusive)
        ):
            self._wrong(f"{role.name} ({role.part.what}) waits for {self._roles[min(ours)].part.what}")
        if role.ours and waits - ours and not role.marked and not self._marks():
            self._wrong(f"{role.part.what} waits for a writer although nothing is marked")
        if self._circle_of_writers(role):
            self._database.cancel(role.actor)

    def _at_our_work(self, role: Role) -> bool:
        """A writer's transaction is over when its author asks for the revision."""
        return role.ours or self._has_committed(role)

    def _circle_of_writers(self, role: Role) -> bool:
        """What the database would find out by itself, a second later."""
        reached, around = {role.name}, set(role.waits)
        while around - reached:
            name = min(around - reached)
            reached.add(name)
            if self._at_our_work(self._roles[name]):
                return False
            around |= self._roles[name].waits
        return role.name in around

    def _came_to(self, role: Role, event: Event) -> None:
        done, role.waits = role.statement, set()
        failed = isinstance(event, Ended) and event.error is not None
        if not failed and self._is_commit(role, done):
            self._committed(role)
        if done == COMMIT:
            self._read_log()
            self._look_for_losses()
        if isinstance(event, Parked):
            role.statement = event.statement
        else:
            role.ended = True
            self._ended(role, event)

    def _is_commit(self, role: Role, statement: str) -> bool:
        if role.writer is None or not role.begun or not statement:
            return False
        if role.writer.autocommit or statement.startswith("COMMIT PREPARED"):
            return True
        return (
            statement == COMMIT and role.contains >= 0 and not role.killed and not self._has_committed(role)
        )

    def _has_committed(self, role: Role) -> bool:
        return any(commit.by == role.name for commit in self.history.commits)

    def _committed(self, role: Role) -> None:
        ends = role.writer.ends if role.writer and not self._sees_nothing(role) else ()
        self.history.unproved |= bool(role.writer and role.writer.unproved)
        self.history.commits.append(Commit(role.name, world.state(self._database.rows()), ends))
        role.contains = len(self.history.commits) - 1

    def _sees_nothing(self, role: Role) -> bool:
        """A table that was rewritten or truncated after a transaction took its snapshot looks empty to it."""
        since = {commit.by for commit in self.history.commits[role.contains + 1 :]}
        others = [other.writer for other in self._roles.values() if other.name in since and other.writer]
        return role.part.isolation in ("rr", "ser") and any(each.exclusive or each.schema for each in others)

    def _read_log(self) -> None:
        history = self.history
        last = history.revisions[-1].number if history.revisions else history.begin
        for number, entities in self._database.log_after(last):
            history.revisions.append(Revision(number, entities, len(history.commits) - 1))

    def _look_for_losses(self) -> None:
        """Everybody else stands still."""
        history = self.history
        if self._marks_tell_all and not self._database.query(product.LOSSES):
            revision = history.revisions[-1].number if history.revisions else history.begin
            history.lossless.append((revision, len(history.commits) - 1))

    def _ended(self, role: Role, event: Ended) -> None:
        said = event.result if isinstance(event.result, product.Said) else product.Said()
        if said.wrong:
            self._wrong(said.wrong)
        if said.revision is not None:
            by, commits = f"{role.part.what} ({role.name})", len(self.history.commits) - 1
            self.history.claims.append(Claim(by, said.revision, role.contains, said.own, said.shows, commits))
        if event.error and not role.killed:
            self.history.trace.append(f"{role.name}  … fails: {_first_line(event.error)}")
            self._failed(role, event.error)

    def _failed(self, role: Role, error: BaseException) -> None:
        cause = error.__cause__
        if isinstance(cause, errors.DeadlockDetected):
            if role.ours or self._names_ours(str(cause)):
                self._wrong(f"a deadlock with ours: {role.part.what} fails")
        elif role.writer and not isinstance(error, WRITERS_TROUBLE):
            self._wrong(f"{role.part.what} cannot be done: {_first_line(error)}")
        elif role.ours and not _may_happen(error):
            self._wrong(f"{role.part.what} fails: {error!r}")

    def _names_ours(self, message: str) -> bool:
        pids = {int(number) for number in re.findall(r"[Pp]rocess (\d+)", message)}
        return any(role.ours and role.actor.pid in pids for role in self._roles.values())

    def _kill(self, role: Role) -> None:
        if role.begun and not role.ended and not role.waits:
            role.killed = True
            self.history.trace.append(f"{role.name}  … is killed")
            self._database.kill(role.actor)
            self._await(role)
            self._settle()

    def _give_way(self, role: Role) -> None:
        if not role.ours or all(self._at_our_work(self._roles[name]) for name in role.waits):
            return
        if event := role.actor.event(GIVES_WAY):
            self._came_to(role, event)
            self._settle()
        else:
            self._wrong(f"{role.part.what} does not give way to a writer")

    def _finish(self) -> None:
        """Everybody goes on to the end, in turn."""
        deadline = time.monotonic() + STUCK
        while unfinished := [role for role in self._roles.values() if not role.ended]:
            if not any([self._to_the_end(role) for role in unfinished]):
                self._settle()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"nobody goes on: {', '.join(role.name for role in unfinished)}")

    def _to_the_end(self, role: Role) -> bool:
        went_on = False
        while self._step(role):
            went_on = True
        return went_on

    def _complete(self) -> None:
        """In the end the log is brought up to date, after mending what is not in force."""
        history = self.history
        self._database.unwatch()
        if not product.completed():
            product.mend()
            if not product.completed():
                self._wrong("the log cannot be brought up to date")
        self._read_log()
        history.claims.append(Claim("the end", self._database.head(), len(history.commits) - 1))
        history.kept = self._database.entities()

    def _others(self, role: Role) -> Iterator[Actor]:
        return (other.actor for other in self._roles.values() if other is not role)

    def _marks(self) -> int:
        return int(self._database.query(f"SELECT count(*) FROM {product.MARKS}")[0][0])

    def _wrong(self, what: str) -> None:
        if what not in self.history.wrong:
            self.history.wrong.append(what)


def _may_happen(error: BaseException) -> bool:
    """To ours: what its callers are told of, and that it was paused for too long."""
    if isinstance(error.__cause__, errors.IdleInTransactionSessionTimeout):
        return True
    return isinstance(error, product.GIVES_UP) and not isinstance(
        error.__cause__, errors.SerializationFailure
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or repr(error)).splitlines()[0]
