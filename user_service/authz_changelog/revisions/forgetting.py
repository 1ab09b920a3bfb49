"""A deleted user can be forgotten: what is kept of its key is a keyed hash, so that the key stays used."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db.models import Min

from authz_changelog.marks.kinds import USER
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Change, End, Entity, Mark, Revision
from authz_changelog.revisions import generations
from authz_changelog.revisions.transactions import beside_no_run


class NotForgotten(Exception):
    """The reason, with the mend."""


def forget(key: str) -> None:
    """Raises `NotForgotten`, and then has changed nothing."""
    pk = Watched().user._meta.pk.to_python(key)
    hashed = generations.forgotten(generations.text(pk))
    if hashed is None:
        raise NotForgotten(
            "set AUTHZ_CHANGELOG['FORGET_KEY']: the secret with which forgotten keys are hashed"
        )
    with beside_no_run(seconds=30):
        _refuse_while_named(key, pk)
        Entity.objects.filter(kind=USER, key=key).delete()
        End.objects.filter(key=generations.text(pk)).update(key=hashed)
        _forget_in_history(generations.text(pk), hashed)


def _forget_in_history(key: str, hashed: str) -> None:
    """What was done stays, and that one and the same did it; nobody is named."""
    Change.objects.filter(kind=USER, key=key).update(key=hashed, name="")
    Change.objects.filter(actor_key=key).update(actor="forgotten", actor_key=hashed)
    if apps.is_installed("django.contrib.admin"):
        user = ContentType.objects.get_for_model(Watched().user)
        entries = apps.get_model("admin", "LogEntry")._base_manager.filter(content_type=user, object_id=key)
        entries.update(object_id=hashed, object_repr="forgotten")


def recall(pks: Collection[Any]) -> None:
    """Whoever is here again is known again: triggers find ends by the key itself."""
    names = {generations.forgotten(name): name for name in map(generations.text, pks)}
    for end in End.objects.filter(key__in=[hashed for hashed in names if hashed]):
        end.key = names[end.key]
        end.save(update_fields=["key"])


def _refuse_while_named(key: str, pk: Any) -> None:
    entity = Entity.objects.filter(kind=USER, key=key).first()
    if Watched().user._base_manager.filter(pk=pk).exists():
        raise NotForgotten(f"the user {key} exists: delete it first")
    marked = Mark.objects.filter(kind=USER, key=generations.text(pk)).exists()
    if marked or (entity and entity.state is not None):
        raise NotForgotten(f"changes of the user {key} are not in the log yet: try again")
    oldest = Revision.objects.aggregate(oldest=Min("revision"))["oldest"]
    if entity and entity.revision >= oldest:
        raise NotForgotten(
            f"revision {entity.revision} names the user {key}: try again when it is older than"
            " AUTHZ_CHANGELOG['RETENTION_DAYS'] and `manage.py prune_revisions` has run"
        )
