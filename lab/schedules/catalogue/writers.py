"""What a writer of the catalogue is, and how one is entered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

BOTH = ("postgresql", "sqlite")
POSTGRESQL, SQLITE = ("postgresql",), ("sqlite",)

PLAIN = "plain"
"""Rows come, go and change."""
RENAME = "rename"
"""Labels change, not who holds them."""
REBIRTH = "rebirth"
"""An identity dies and is born again."""
CROWD = "crowd"
"""More entities than a run takes, when its limits are low."""
REWRITE = "rewrite"
"""What is not MVCC-safe."""
SILENT = "silent"
"""Triggers that do not fire."""
REPLACE = "replace"
"""Rows that go without DELETE."""
OBSTACLE = "obstacle"
"""What triggers could stand in the way of."""
KINDS = (PLAIN, RENAME, REBIRTH, CROWD, REWRITE, SILENT, REPLACE, OBSTACLE)

Body = Callable[[Callable[..., Any]], object]
"""Does its work with the function it is given, which executes SQL and returns the cursor."""


@dataclass(frozen=True)
class Writer:
    name: str
    kind: str
    body: Body
    databases: Sequence[str] = BOTH
    exclusive: bool = False
    """It locks tables so that nobody can read them."""
    outside: tuple[str, ...] = ()
    """Statements before and after, outside its transaction."""
    ends: tuple[str, ...] = ()
    """Users who end in it, though a user of that key is there afterwards."""
    unproved: bool = False
    """From its commit until somebody has mended it, nothing is proved."""
    autocommit: bool = False
    """Each statement is a transaction."""
    schema: bool = False
    """It changes more than rows."""
    undo: tuple[str, ...] = field(default=())
    """What makes the schema as it was."""


CATALOGUE: dict[str, Writer] = {}


def enter(name: str, kind: str, body: Body, **more: Any) -> None:
    if name in CATALOGUE:
        raise ValueError(f"there are two writers called {name}")
    CATALOGUE[name] = Writer(name, kind, body, **more)


def write(name: str, kind: str, *statements: str, **more: Any) -> None:
    """Enter a writer that is nothing but statements."""
    enter(name, kind, lambda execute: [execute(statement) for statement in statements], **more)


def code(kind: str, **more: Any) -> Callable[[Body], Body]:
    """Enter a function, by its own name."""

    def entered(body: Callable[..., object]) -> Body:
        enter(body.__name__, kind, body, **more)
        return body

    return entered


def execute(sql: str) -> Any:
    """Execute it in the actor's own transaction; the cursor."""
    cursor = connection.cursor()
    cursor.execute(sql)
    return cursor
