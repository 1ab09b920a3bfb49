"""Users and groups, and the administrators who change what they may do."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from lab.simulation.history import Database, EntityId, State
from lab.simulation.joints.rules import PERMISSIONS
from lab.simulation.plan import Setup

FIELDS = ("active", "superuser", "permissions", "permissions", "groups", "groups", "generation", "ended")
LARGE = 12
"""Entities in a large transaction, at most."""


class Population:
    """`keys`: everybody who may exist. Some do not, at first and later."""

    def __init__(self, setup: Setup, random: Random) -> None:
        self.users: list[EntityId] = [("user", str(number + 1)) for number in range(setup.users)]
        self.groups: list[EntityId] = [("group", str(number + 1)) for number in range(setup.groups)]
        self._random = random

    def first(self) -> dict[EntityId, State]:
        random = self._random
        states = {key: self.group() for key in self.groups if random.random() < 0.8}
        return states | {key: self.user(0) for key in self.users if random.random() < 0.9}

    def group(self) -> State:
        return {"permissions": self._some(PERMISSIONS, 0.3)}

    def user(self, generation: int) -> State:
        random = self._random
        return {
            "active": random.random() < 0.9,
            "superuser": random.random() < 0.05,
            "permissions": self._some(PERMISSIONS, 0.2),
            "groups": self._some([key for _, key in self.groups], 0.3),
            "token_generation": generation,
        }

    def _some(self, names: list[str] | tuple[str, ...], share: float) -> list[str]:
        return sorted(name for name in names if self._random.random() < share)


class Administrators:
    """Commit transactions; while they are `resting`, none but what somebody asks for.

    While they are `adding` nobody loses anything.
    """

    def __init__(
        self,
        database: Database,
        population: Population,
        random: Random,
        setup: Setup,
        now: Callable[[], float],
    ) -> None:
        self.resting = self.adding = False
        self._database = database
        self._population = population
        self._random = random
        self._setup = setup
        self._now = now

    def commit(self) -> None:
        """One transaction."""
        random = self._random
        count = random.randint(2, LARGE) if random.random() < self._setup.large_writes else 1
        population = self._population
        keys = random.choices(population.users * 3 + population.groups, k=count)
        self._database.commit({key: self._changed(key) for key in keys}, self._now())

    def bulk(self) -> None:
        """Everybody at once."""
        population = self._population
        keys = [*population.users, *population.groups]
        self._database.commit({key: self._changed(key) for key in keys}, self._now())

    def _added(self, key: EntityId, state: State | None) -> State:
        population = self._population
        fresh = population.group() if key[0] == "group" else population.user(0)
        if state is None:
            return fresh
        names = fresh.keys() & {"permissions", "groups"}
        return state | {name: sorted({*state[name], *fresh[name]}) for name in sorted(names)}

    def _changed(self, key: EntityId) -> State | None:
        random, population = self._random, self._population
        state = self._database.state(key)
        if self.adding:
            return self._added(key, state)
        if random.random() < 0.05:
            return None
        if key[0] == "group":
            return population.group()
        if state is None:
            return population.user(random.randint(0, 3))
        fresh = population.user(state["token_generation"])
        name = random.choice(FIELDS)
        if name == "generation":
            return state | {"token_generation": state["token_generation"] + 1}
        if name == "ended":
            return state | {"tokens_not_before": int(self._database.wall())}
        return state | {name: fresh[name]}
