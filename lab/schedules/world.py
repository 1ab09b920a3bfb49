"""The small world that schedules play in, and the truth about it, from SQL and a join of our own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Row = tuple[object, ...]
Rows = dict[str, list[Row]]
"""By table: what its columns in `TABLES` hold."""

USER = "accounts_user"
GROUP = "auth_group"
PERMISSION = "auth_permission"
CONTENT_TYPE = "django_content_type"
DIRECT = "accounts_user_user_permissions"
MEMBER = "accounts_user_groups"
GRANT = "auth_group_permissions"

TABLES: dict[str, tuple[str, ...]] = {
    CONTENT_TYPE: ("id", "app_label", "model"),
    PERMISSION: ("id", "name", "content_type_id", "codename"),
    GROUP: ("id", "name"),
    USER: ("id", "username", "is_superuser", "is_active", "token_generation"),
    DIRECT: ("user_id", "permission_id", "id"),
    MEMBER: ("user_id", "group_id", "id"),
    GRANT: ("group_id", "permission_id", "id"),
}
"""What decides who may do what; referred-to tables first."""

ANN, BOB, CID, DAN, EVE = 1, 2, 3, 4, 5
STAFF, GUESTS, EMPTY, CROWD = 1, 2, 3, 4
READ, WRITE, LEND, RETURN, UNUSED = 1, 2, 3, 4, 5
SCHOOL, LIBRARY = 1, 2
FIRST_OF_CROWD = 101
SMALL_CROWD = 12


def initial(crowd: int = SMALL_CROWD) -> Rows:
    """Five people, four groups, one of them with `crowd` members, five permissions of two content types."""
    many = range(FIRST_OF_CROWD, FIRST_OF_CROWD + crowd)
    people = [(ANN, "ann"), (BOB, "bob"), (CID, "cid"), (DAN, "dan"), (EVE, "eve")]
    return {
        CONTENT_TYPE: [(SCHOOL, "school", "pupil"), (LIBRARY, "library", "book")],
        PERMISSION: [
            (READ, "read", SCHOOL, "read"),
            (WRITE, "write", SCHOOL, "write"),
            (LEND, "lend", LIBRARY, "lend"),
            (RETURN, "return", LIBRARY, "return"),
            (UNUSED, "unused", LIBRARY, "unused"),
        ],
        GROUP: [(STAFF, "staff"), (GUESTS, "guests"), (EMPTY, "empty"), (CROWD, "crowd")],
        USER: [
            *((key, name, key == EVE, key != DAN, 0) for key, name in people),
            *((key, f"one{key}", False, True, 0) for key in many),
        ],
        DIRECT: _numbered([(ANN, WRITE), (CID, LEND)]),
        MEMBER: _numbered(
            [(ANN, STAFF), (BOB, STAFF), (BOB, GUESTS), (CID, GUESTS), *((key, CROWD) for key in many)]
        ),
        GRANT: _numbered([(STAFF, READ), (STAFF, LEND), (GUESTS, READ), (CROWD, RETURN)]),
    }


def _numbered(links: list[tuple[int, int]]) -> list[Row]:
    return [(*link, number) for number, link in enumerate(links, 1)]


@dataclass(frozen=True)
class User:
    active: bool
    superuser: bool
    permissions: frozenset[str]
    groups: frozenset[str]
    generation: int


@dataclass(frozen=True)
class State:
    """Everything that decides who may do what, at one instant: by key, only what exists."""

    users: Mapping[str, User]
    groups: Mapping[str, frozenset[str]]

    def holds(self, user: str) -> frozenset[str]:
        """What the user may do, with all groups; `*` is everything."""
        found = self.users.get(user)
        if found is None or not found.active:
            return frozenset()
        inherited = (self.groups[group] for group in found.groups)
        own = found.permissions | {"*"} if found.superuser else found.permissions
        return own.union(*inherited)


def state(rows: Mapping[str, Iterable[Row]]) -> State:
    """What the rows of the seven tables amount to."""
    apps = dict((key, label) for key, label, _ in rows[CONTENT_TYPE])
    labels = {key: f"{apps[model]}.{code}" for key, _, model, code in rows[PERMISSION] if model in apps}
    groups = {key for key, _ in rows[GROUP]}
    granted, direct, member = (_pairs(rows[table]) for table in (GRANT, DIRECT, MEMBER))
    return State(
        {
            str(key): User(
                bool(active),
                bool(superuser),
                frozenset(labels[each] for each in direct[key] if each in labels),
                frozenset(str(each) for each in member[key] if each in groups),
                int(str(generation)),
            )
            for key, _, superuser, active, generation in rows[USER]
        },
        {str(key): frozenset(labels[each] for each in granted[key] if each in labels) for key in groups},
    )


def _pairs(rows: Iterable[Row]) -> dict[object, set[object]]:
    found: dict[object, set[object]] = defaultdict(set)
    for owner, target, _ in rows:
        found[owner].add(target)
    return found
