"""Who may do what is the same here, at a sidecar and at Django's own `ModelBackend`."""

import json
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from authz_changelog.models import Entity
from authz_changelog.revisions.sequencer import sequence
from authz_changelog.sidecars import grants
from authz_sidecar.core.decision import decide
from authz_sidecar.core.documents import decode_state
from authz_sidecar.core.entities import Entity as Known
from authz_sidecar.core.entities import EntityKey, Position
from authz_sidecar.core.verdicts import FORWARDED, Identity, Question, Requirement, Verdict

LABELS = [f"{app}.{codename}" for app in ("accounts", "école") for codename in ("view", "Change", "add.all")]
UNKNOWN = ["no.such", "view", ".", "accounts.VIEW", "accounts."]
some_labels = st.sets(st.sampled_from(range(len(LABELS))), max_size=3)

users = st.fixed_dictionaries(
    {
        "is_active": st.booleans(),
        "is_superuser": st.sampled_from([False, False, True]),
        "is_staff": st.booleans(),
        "groups": st.sets(st.integers(0, 2)),
        "permissions": some_labels,
    }
)


def permissions() -> list[Permission]:
    """Made anew each time: their keys differ from those of the example before."""
    Permission.objects.filter(name="generated").delete()
    made = []
    for label in LABELS:
        app_label, codename = label.split(".", 1)
        content_type, _ = ContentType.objects.get_or_create(app_label=app_label, model="generated")
        made.append(Permission.objects.create(name="generated", codename=codename, content_type=content_type))
    return made


def write(everybody: list[dict[str, Any]], groups: list[set[int]]) -> list[User]:
    User.objects.all().delete()
    Group.objects.all().delete()
    known = permissions()
    made = [Group.objects.create(name=f"group{number}") for number in range(3)]
    for group, held in zip(made, groups, strict=True):
        group.permissions.set(known[number] for number in held)
    for number, given_user in enumerate(everybody):
        flags = {name: value for name, value in given_user.items() if name.startswith("is_")}
        user = User.objects.create(username=f"user{number}", **flags)
        user.groups.set(made[member] for member in given_user["groups"])
        user.user_permissions.set(known[held] for held in given_user["permissions"])
    return list(User.objects.all())


class Copy:
    """What a sidecar has applied."""

    def __init__(self) -> None:
        head = sequence()
        self.position = Position(str(head.epoch), head.revision, None)
        self._entities = {
            EntityKey(each.kind, each.key): Known(
                EntityKey(each.kind, each.key), each.revision, decode_state(each.kind, each.state or "null")
            )
            for each in Entity.objects.all()
        }

    def entity(self, key: EntityKey) -> Known:
        return self._entities.get(key) or Known(key, 0, None)

    def user(self, identity: Identity) -> EntityKey | None:
        return EntityKey("user", identity.subject)

    def allows(self, subject: str, label: str) -> bool:
        identity = Identity(subject, "key", 2e9, None, None, None)
        found = decide(Question(identity, Requirement("any", (label,)), None), self, 0, 1, 0, 1)
        assert isinstance(found, Verdict)
        return found.code in FORWARDED


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(everybody=st.lists(users, max_size=4), groups=st.lists(some_labels, min_size=3, max_size=3))
def test_what_decides_here_is_what_django_decides(
    database: str, everybody: list[dict[str, Any]], groups: list[set[int]]
) -> None:
    written = write(everybody, groups)
    copy = Copy()
    for user in written:
        held = grants.of(str(user.pk))
        for label in LABELS:
            wanted = ModelBackend().has_perm(user, label)
            assert grants.decide(held, label, None)[0] is wanted, json.dumps([str(user), label])
            assert copy.allows(str(user.pk), label) is wanted, json.dumps([str(user), label])
        for label in UNKNOWN:  # Django's users ask no backend for a superuser
            assert grants.decide(held, label, None)[0] is user.has_perm(label)
            assert copy.allows(str(user.pk), label) is user.has_perm(label)
