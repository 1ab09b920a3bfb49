"""How tests write to the watched tables: without the accelerator's help, and from other connections."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from django.contrib.auth.models import Permission
from django.db import connection, connections, transaction

from authz_changelog.revisions import differences, incarnations
from authz_changelog.revisions.states import Key, State
from lab import DEADLINE


def sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def quietly(write: Callable[[], object]) -> None:
    """Write as a program does that knows nothing of the change log: nothing is sequenced."""
    with transaction.atomic():
        write()
        connection.run_on_commit.clear()


def permission(codename: str) -> Permission:
    return Permission.objects.get(codename=codename)


class Elsewhere:
    """Another thread, with a connection of its own, that does one thing after the other."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread

    def begins(self, act: Callable[..., object], *arguments: object) -> "Future[object]":
        return self._thread.submit(act, *arguments)

    def __call__(self, act: Callable[..., object], *arguments: object) -> object:
        return self.begins(act, *arguments).result(timeout=DEADLINE)


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    with ThreadPoolExecutor(max_workers=1) as thread:
        there = Elsewhere(thread)
        yield there
        there(lambda: connections["default"].close())


def present(logged: Collection[tuple[str, str]]) -> dict[tuple[str, str], State | None]:
    """What Django's tables say of what the log calls so; groups that others have followed are no more."""
    keys = [Key(kind, incarnations.table_key(key) if kind == "group" else key) for kind, key in logged]
    said = differences.present(keys)
    return {Key(*key): said.get(Key(*key)) for key in logged}
