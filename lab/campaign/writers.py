"""Clients that change permissions all the time: by the people's API, and in transactions of their own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from random import Random
from threading import Event, Lock, Thread
from urllib.request import Request, urlopen

import psycopg

from lab.campaign.population import NEW_USER, Population
from lab.campaign.tokens import Mint

PAUSE = 0.6
"""Seconds between two writes of one writer, on average."""


class Outcomes:
    """What became of the writes, and the newest revision that a writer was told."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.newest: str | None = None
        self._lock = Lock()

    def add(self, outcome: str) -> None:
        with self._lock:
            self.counts[outcome] += 1


class Writer(Thread):
    """Repeats `write`, with random pauses, until it is stopped. A failed write is counted, no more."""

    def __init__(self, name: str, write: Callable[[Random], str], outcomes: Outcomes, random: Random) -> None:
        super().__init__(name=name, daemon=True)
        self._write = write
        self._outcomes = outcomes
        self._random = random
        self._stopping = Event()

    def run(self) -> None:
        while not self._stopping.wait(self._random.uniform(0, 2 * PAUSE)):
            try:
                self._outcomes.add(self._write(self._random))
            except (OSError, psycopg.Error) as error:
                self._outcomes.add(f"failed: {type(error).__name__}")

    def stop(self) -> None:
        self._stopping.set()


class ApiClient:
    """An administrator who uses the User service's API."""

    def __init__(self, url: str, population: Population, mint: Mint, outcomes: Outcomes) -> None:
        self._url = url
        self._population = population
        self._mint = mint
        self._outcomes = outcomes

    def write(self, random: Random) -> str:
        method, path, body = self._choose(random)
        token = self._mint.make(str(self._population.admin), "user-service")
        request = Request(  # noqa: S310 (an address of ours)
            f"{self._url}/api/{path}",
            method=method,
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urlopen(request, timeout=10) as answer:  # noqa: S310
            self._outcomes.newest = answer.headers.get("Authz-Revision") or self._outcomes.newest
            return "written by API"

    def _choose(self, random: Random) -> tuple[str, str, object]:
        user = f"users/{random.choice(self._population.users)}"
        group = f"groups/{random.choice(self._population.groups)}"
        label = f"permissions/students.{random.choice(list(self._population.permissions))}"
        groups = random.sample(self._population.groups, random.randint(0, 2))
        return random.choice(
            (
                ("PUT", f"{user}/{label}/", None),
                ("DELETE", f"{user}/{label}/", None),
                ("PUT", f"{group}/{label}/", None),
                ("DELETE", f"{group}/{label}/", None),
                ("PUT", f"{user}/groups/", {"groups": groups}),
                ("POST", f"{user}/deactivate/", None),
                ("POST", f"{user}/activate/", None),
                ("POST", f"{user}/activate/", None),
                ("POST", f"{user}/sign-out-everywhere/", None),
            )
        )


class DatabaseClient:
    """A program that changes several entities in one transaction, past Django."""

    def __init__(self, url: str, population: Population) -> None:
        self._url = url
        self._population = population

    def write(self, random: Random) -> str:
        change = random.choice(
            (
                *(self._swap, self._swap, self._hand_over, self._hand_over, self._found_group),
                *(self._replace, self._toggle_many),
            )
        )
        connecting = psycopg.connect(self._url, connect_timeout=5, options="-c statement_timeout=10000")
        with closing(connecting) as connection, connection:  # which would stay open if its commit failed
            change(connection, random)
        return "written in a transaction"

    def _swap(self, connection: psycopg.Connection, random: Random) -> None:
        """Two groups swap all their members and all their permissions: nobody ever gains or loses by it."""
        one, other = sorted(random.sample(self._population.groups, 2))
        for table in ("accounts_user_groups", "auth_group_permissions"):
            column = "user_id" if table == "accounts_user_groups" else "permission_id"
            rows = connection.execute(
                f"DELETE FROM {table} WHERE group_id IN (%s, %s) RETURNING {column}, group_id",  # noqa: S608
                [one, other],
            ).fetchall()
            for member, group in rows:
                connection.execute(
                    f"INSERT INTO {table} (group_id, {column}) VALUES (%s, %s)",  # noqa: S608
                    [one if group == other else other, member],
                )

    def _hand_over(self, connection: psycopg.Connection, random: Random) -> None:
        """One user loses a permission to another."""
        loser, winner = random.sample(self._population.users, 2)
        permission = random.choice(list(self._population.permissions.values()))
        connection.execute(
            "DELETE FROM accounts_user_user_permissions WHERE user_id = %s AND permission_id = %s",
            [loser, permission],
        )
        connection.execute(
            "INSERT INTO accounts_user_user_permissions (user_id, permission_id) VALUES (%s, %s)"
            " ON CONFLICT DO NOTHING",
            [winner, permission],
        )

    def _replace(self, connection: psycopg.Connection, random: Random) -> None:
        """A user is deleted, and another one comes instead with the same groups."""
        place = random.randrange(len(self._population.users))
        old = self._population.users[place]
        groups = connection.execute(
            "DELETE FROM accounts_user_groups WHERE user_id = %s RETURNING group_id", [old]
        ).fetchall()
        for table in ("accounts_user_user_permissions", "tokens_signin"):
            connection.execute(f"DELETE FROM {table} WHERE user_id = %s", [old])  # noqa: S608
        connection.execute("DELETE FROM accounts_user WHERE id = %s", [old])
        row = connection.execute(NEW_USER, [f"user-{place}-{random.getrandbits(48):x}"]).fetchone()
        new = row[0] if row else 0
        for (group,) in groups:
            connection.execute(
                "INSERT INTO accounts_user_groups (user_id, group_id) VALUES (%s, %s)", [new, group]
            )
        connection.commit()
        self._population.users[place] = new

    def _toggle_many(self, connection: psycopg.Connection, random: Random) -> None:
        """Three users become administrators or cease to be, and their tokens end."""
        users = sorted(random.sample(self._population.users, 3))
        connection.execute(
            "UPDATE accounts_user SET is_superuser = NOT is_superuser, is_active = true,"
            " token_generation = token_generation + 1 WHERE id = ANY(%s)",
            [users],
        )

    def _found_group(self, connection: psycopg.Connection, random: Random) -> None:
        """A group is founded with three members, and the one founded before it is dissolved."""
        rows = connection.execute("SELECT id FROM auth_group WHERE name LIKE 'club-%'").fetchall()
        for table in ("accounts_user_groups", "auth_group_permissions"):
            connection.execute(f"DELETE FROM {table} WHERE group_id = ANY(%s)", [[row[0] for row in rows]])  # noqa: S608
        connection.execute("DELETE FROM auth_group WHERE id = ANY(%s)", [[row[0] for row in rows]])
        name = f"club-{random.getrandbits(48):x}"
        connection.execute("INSERT INTO auth_group (name) VALUES (%s)", [name])
        for permission in random.sample(list(self._population.permissions.values()), 2):
            connection.execute(
                "INSERT INTO auth_group_permissions (group_id, permission_id)"
                " SELECT id, %s FROM auth_group WHERE name = %s",
                [permission, name],
            )
        for user in sorted(random.sample(self._population.users, 3)):
            connection.execute(
                "INSERT INTO accounts_user_groups (user_id, group_id)"
                " SELECT %s, id FROM auth_group WHERE name = %s",
                [user, name],
            )


class Writers:
    """Two clients of the API and two of the database."""

    def __init__(
        self, api_url: str, database_url: str, population: Population, mint: Mint, random: Random
    ) -> None:
        self.outcomes = Outcomes()
        api = ApiClient(api_url, population, mint, self.outcomes)
        database = DatabaseClient(database_url, population)
        clients: Sequence[ApiClient | DatabaseClient] = (api, api, database, database)
        self._writers = [
            Writer(f"writer-{n}", client.write, self.outcomes, Random(f"{random.random()}"))  # noqa: S311 (it has to be reproducible)
            for n, client in enumerate(clients)
        ]

    def start(self) -> None:
        for writer in self._writers:
            writer.start()

    def stop(self) -> None:
        for writer in self._writers:
            writer.stop()
        for writer in self._writers:
            writer.join()
