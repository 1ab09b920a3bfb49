"""Whatever happens, in whatever order: the log says what Django's own tables say."""

import json
from collections.abc import Callable

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import F, Q
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from accounts.models import User
from authz_changelog.models import Entity, Revision
from authz_changelog.revisions.sequencer import sequence
from authz_changelog.sidecars import grants
from tests.integration.changelog.writers import present

Member, Holder = User.groups.through, User.user_permissions.through
States = dict[tuple[str, str], dict | None]


def user(number: int) -> User:
    return User(pk=number + 1, username=f"user{number}")


def group(number: int) -> Group:
    return Group(pk=number + 1, name=f"group{number}")


def permission(number: int) -> Permission | None:
    return Permission.objects.filter(name=f"permission{number}").first()


def exist(*rows: object) -> bool:
    return all(row and type(row).objects.filter(pk=row.pk).exists() for row in rows)


def create_permission(number: int) -> None:
    model = ContentType.objects.get_for_model(User)
    Permission.objects.get_or_create(
        name=f"permission{number}", defaults={"codename": f"code{number}", "content_type": model}
    )


def raw(statement: str, number: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [number + 1])


def join(a: int, b: int) -> None:
    if exist(user(a), group(b)):
        Member.objects.bulk_create([Member(user_id=a + 1, group_id=b + 1)], ignore_conflicts=True)


def hold(a: int, b: int) -> None:
    if exist(user(a), permission(b)):
        User.objects.get(pk=a + 1).user_permissions.add(permission(b))


def allow(a: int, b: int) -> None:
    if exist(group(a), permission(b)):
        Group.objects.get(pk=a + 1).permissions.add(permission(b))


ACTS: dict[str, Callable[[int, int], object]] = {
    "create users": lambda a, b: User.objects.bulk_create(
        [user(a), user(b)][: 1 + (a != b)], ignore_conflicts=True
    ),
    "delete user": lambda a, b: User.objects.filter(pk=a + 1).delete(),
    "flip active": lambda a, b: raw("UPDATE accounts_user SET is_active = NOT is_active WHERE id = %s", a),
    "flip superuser": lambda a, b: User.objects.filter(pk=a + 1).update(is_superuser=~F("is_superuser")),
    "sign out": lambda a, b: User.objects.filter(pk=a + 1).update(token_generation=F("token_generation") + 1),
    "create group": lambda a, b: Group.objects.bulk_create([group(a)], ignore_conflicts=True),
    "delete group": lambda a, b: Group.objects.filter(pk=a + 1).delete(),
    "join": join,
    "leave": lambda a, b: raw("DELETE FROM accounts_user_groups WHERE user_id = %s", a),
    "hold": hold,
    "drop": lambda a, b: Holder.objects.filter(user_id=a + 1, permission=permission(b)).delete(),
    "allow": allow,
    "forbid": lambda a, b: raw("DELETE FROM auth_group_permissions WHERE group_id = %s", a),
    "create permission": lambda a, b: create_permission(a),
    "delete permission": lambda a, b: Permission.objects.filter(name=f"permission{a}").delete(),
    "rename permission": lambda a, b: Permission.objects.filter(name=f"permission{a}").update(
        codename=f"renamed{a}{b}"
    ),
}

acts = st.tuples(st.sampled_from(sorted(ACTS)), st.integers(0, 2), st.integers(0, 2))
transactions = st.tuples(st.lists(acts, min_size=1, max_size=5), st.booleans())


def run(history: list[tuple[list[tuple[str, int, int]], bool]]) -> None:
    """Each transaction, sequenced right away or left for later."""
    for transaction_acts, at_once in history:
        with transaction.atomic():
            for act, a, b in transaction_acts:
                ACTS[act](a, b)
            connection.run_on_commit.clear()
        if at_once:
            sequence()


def logged() -> States:
    entities = Entity.objects.values_list("kind", "key", "state")
    return {(kind, key): json.loads(state or "null") for kind, key, state in entities}


def replayed(begin: States, after: int) -> States:
    current = dict(begin)
    for revision in Revision.objects.filter(pk__gt=after).order_by("pk"):
        for entity in json.loads(revision.entities):
            current[entity["kind"], entity["key"]] = entity["state"]
    return current


def without_dead_groups(all_states: States) -> States:
    alive = {key for (kind, key), state in all_states.items() if kind == "group" and state}
    return {
        key: {**state, "groups": [g for g in state["groups"] if g in alive]}
        if key[0] == "user" and state
        else state
        for key, state in all_states.items()
    }


REBIRTH = [
    ([("create users", 0, 0), ("create group", 0, 0), ("join", 0, 0)], True),
    ([("delete group", 0, 0)], True),
    ([("create group", 0, 0), ("create permission", 0, 0), ("allow", 0, 0)], True),
]


@example(history=REBIRTH)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(history=st.lists(transactions, max_size=8))
def test_the_log_equals_the_tables_after_any_history(database: str, history: list) -> None:
    begin, head = logged(), sequence().revision
    run(history)
    sequence()

    now = logged()
    assert replayed(begin, head) == now
    assert without_dead_groups(now) == present(now)
    assert {key for kind, key in now if kind == "user" and now[kind, key]} == {
        str(pk) for pk in User.objects.values_list("pk", flat=True)
    }
    assert_same_permissions_as_django()


def assert_same_permissions_as_django() -> None:
    labels = [
        f"accounts.{codename}"
        for codename in Permission.objects.filter(
            Q(name__startswith="permission") | Q(codename="add_user")
        ).values_list("codename", flat=True)
    ]
    for someone in User.objects.all():
        held = grants.of(str(someone.pk))
        for label in [*labels, "no.such"]:
            assert grants.decide(held, label, None)[0] == someone.has_perm(label)
