"""Sixteen writers at once: gap-free revisions, none of which shows a state that was never committed.

Every transaction keeps an invariant that spans several entities, so a revision that saw half of one,
or mixed two, breaks it:

* a *cell* is a user and its groups. In every committed state the user is in exactly one group that
  exists; that group, and the user directly, hold exactly the permission `step{generation mod STEPS}`;
  the cell's other groups hold nothing.
* the *twins* are a user and a group that always hold the same permissions.
"""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection, connections, transaction
from django.db.utils import OperationalError

from accounts.models import User
from authz_changelog.models import Entity, Mark, Revision
from authz_changelog.revisions.reconcile import reconcile
from authz_changelog.revisions.sequencer import sequence
from lab import DEADLINE
from tests.integration.changelog.writers import present

STEPS = 7
CELLS = 5
WRITERS = {"sqlite": 4, "postgresql": 16}
TRANSACTIONS = 20

States = dict[tuple[str, str], dict | None]


def step(number: int) -> Permission:
    return Permission.objects.get(codename=f"step{number % STEPS}")


def label(generation: int) -> str:
    return f"accounts.step{generation % STEPS}"


def new_group() -> Group:
    return Group.objects.create(name=f"group {random.getrandbits(64)}")


def lock(username: str) -> User:
    users = User.objects.filter(username=username)
    return (users.select_for_update() if connection.vendor == "postgresql" else users).get()


def rotate(cell: str) -> None:
    """By the ORM: the group is given the next permission."""
    user = lock(cell)
    user.raise_token_generation()
    user.user_permissions.set([step(user.token_generation)])
    user.groups.get().permissions.set([step(user.token_generation)])


def move(cell: str) -> None:
    """By `update()`: the user moves to another group, and both change."""
    user = lock(cell)
    User.objects.filter(pk=user.pk).update(token_generation=user.token_generation + 1)
    user.groups.get().permissions.clear()
    other = new_group()
    User.groups.through.objects.filter(user=user).update(group=other)
    other.permissions.add(step(user.token_generation + 1))
    user.user_permissions.set([step(user.token_generation + 1)])


def replace(cell: str) -> None:
    """The user's group is deleted; another one takes its place."""
    user = lock(cell)
    user.groups.get().delete()
    other = new_group()
    other.permissions.set([step(user.token_generation)])
    user.groups.set([other])


def raw(cell: str) -> None:
    """The same as `rotate`, by SQL."""
    user = lock(cell)
    generation = user.token_generation + 1
    group, permission = user.groups.get().pk, step(generation).pk
    with connection.cursor() as cursor:
        for statement, *parameters in (
            ("UPDATE auth_group_permissions SET permission_id = %s WHERE group_id = %s", permission, group),
            (
                "UPDATE accounts_user_user_permissions SET permission_id = %s WHERE user_id = %s",
                permission,
                user.pk,
            ),
            ("UPDATE accounts_user SET token_generation = %s WHERE id = %s", generation, user.pk),
        ):
            cursor.execute(statement, parameters)


def give_twins(_: str) -> None:
    model = ContentType.objects.get_for_model(User)
    permission = Permission.objects.create(content_type=model, codename=f"twin{random.getrandbits(64)}")
    lock("twin").user_permissions.add(permission)
    Group.objects.get(name="twin").permissions.add(permission)


def rename_twins(_: str) -> None:
    lock("twin")
    permission = Permission.objects.filter(codename__startswith="twin").order_by("?").first()
    if permission:
        Permission.objects.filter(pk=permission.pk).update(codename=f"twin{random.getrandbits(64)}")


def take_twins(_: str) -> None:
    lock("twin")
    permission = Permission.objects.filter(codename__startswith="twin").order_by("?").first()
    if permission:
        permission.delete()


KINDS: list[Callable[[str], None]] = [rotate, move, replace, raw, give_twins, rename_twins, take_twins]


def write(seed: int) -> int:
    """One writer: how many transactions it committed."""
    choice = random.Random(seed)  # noqa: S311 (a repeatable choice, not a secret)
    committed = 0
    try:
        while committed < TRANSACTIONS:
            try:
                with transaction.atomic():
                    choice.choice(KINDS)(f"cell{choice.randrange(CELLS)}")
            except (IntegrityError, OperationalError):  # deadlock: the database undid it
                continue
            committed += 1
    finally:
        connections["default"].close()
    return committed


@pytest.fixture
def cells(database: str) -> None:
    model = ContentType.objects.get_for_model(User)
    for number in range(STEPS):
        Permission.objects.create(content_type=model, codename=f"step{number}")
    User.objects.create(username="twin")
    Group.objects.create(name="twin")
    for number in range(CELLS):
        with transaction.atomic():
            user, group = User.objects.create(username=f"cell{number}"), new_group()
            user.groups.add(group)
            user.user_permissions.add(step(0))
            group.permissions.add(step(0))
    sequence()


def replay() -> Iterator[States]:
    """The whole state after each revision."""
    current: States = {}
    for number, revision in enumerate(Revision.objects.order_by("pk")):
        assert revision.pk == number, "a gap"
        for entity in json.loads(revision.entities):
            current[entity["kind"], entity["key"]] = entity["state"]
        yield current


def assert_was_committed(current: States, cell_users: set[str], twin: tuple[str, str]) -> None:
    alive = {key: state for (kind, key), state in current.items() if kind == "group" and state}
    used = {twin[1]}
    for key in cell_users & {key for kind, key in current if kind == "user"}:
        user = current["user", key]
        (group,) = (group for group in user["groups"] if group in alive)
        used.add(group)
        assert user["permissions"] == [label(user["token_generation"])] == alive[group]["permissions"]
    assert all(alive[key]["permissions"] == [] for key in alive.keys() - used)
    user_twin, group_twin = current.get(("user", twin[0])), current.get(("group", twin[1]))
    if user_twin and group_twin:
        assert user_twin["permissions"] == group_twin["permissions"]


def test_no_revision_shows_a_state_that_was_never_committed(cells: None) -> None:
    writers = WRITERS[connection.vendor]
    with ThreadPoolExecutor(writers) as threads:
        assert list(threads.map(write, range(writers))) == [TRANSACTIONS] * writers
    sequence(within=DEADLINE)

    cell_users = {
        str(pk) for pk in User.objects.filter(username__startswith="cell").values_list("pk", flat=True)
    }
    twin = str(User.objects.get(username="twin").pk), str(Group.objects.get(name="twin").pk)
    count, final = 0, {}
    for current in replay():
        count, final = count + 1, dict(current)
        assert_was_committed(current, cell_users, twin)

    assert count > writers
    assert Mark.objects.count() == 0
    logged = {
        (entity.kind, entity.key): json.loads(entity.state or "null") for entity in Entity.objects.all()
    }
    assert logged == final
    assert reconcile() == []
    alive_groups = {key for kind, key in final if kind == "group" and final[kind, key]}
    for key, state in present(final).items():
        if state and key[0] == "user":
            final[key]["groups"] = [group for group in final[key]["groups"] if group in alive_groups]
        assert final[key] == state
