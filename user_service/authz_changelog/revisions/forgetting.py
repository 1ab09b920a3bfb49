"""A deleted user can be forgotten: what is kept of its key is a keyed hash, so that the key stays used."""

from __future__ import annotations

from collections.abc import Collection

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db.models import Min, Q

from authz_changelog import conf
from authz_changelog.marks.kinds import USER
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Change, End, Entity, Mark, Revision
from authz_changelog.revisions import generations, subjects
from authz_changelog.revisions.transactions import beside_no_run


class NotForgotten(Exception):
    """The reason, with the mend."""


def forget(key: str) -> None:
    """Whoever had this subject, and all others of a user who is no more.

    Raises `NotForgotten`, and then has changed nothing.
    """
    if generations.forgotten(key) is None:
        raise NotForgotten(
            "set AUTHZ_CHANGELOG['FORGET_KEY']: the secret with which forgotten keys are hashed"
        )
    with beside_no_run(seconds=30):
        owner = _refuse_while_named(key)
        if owner is None or Watched().user._base_manager.filter(pk=owner).exists():
            _forget_subject(key)
            return
        theirs = Q(owner=owner) | Q(owner=None, key=owner)
        for other in Entity.objects.filter(theirs, kind=USER).exclude(key=key):
            _refuse_while_named(other.key)
            _forget_subject(other.key)
        _forget_in_history(generations.text(owner), _forget_subject(key))


def _forget_subject(key: str) -> str:
    """What stands for it from now on."""
    (spelled,) = subjects.spellings([key])
    hashed = generations.forgotten(spelled) or ""
    Entity.objects.filter(kind=USER, key=key).delete()
    End.objects.filter(key=spelled).update(key=hashed)
    return hashed


def _forget_in_history(key: str, hashed: str) -> None:
    """What was done stays, and that one and the same did it; nobody is named."""
    Change.objects.filter(kind=USER, key=key).update(key=hashed, name="")
    Change.objects.filter(actor_key=key).update(actor="forgotten", actor_key=hashed)
    if apps.is_installed("django.contrib.admin"):
        user = ContentType.objects.get_for_model(Watched().user)
        entries = apps.get_model("admin", "LogEntry")._base_manager.filter(content_type=user, object_id=key)
        entries.update(object_id=hashed, object_repr="forgotten")


def recall(those: Collection[str]) -> None:
    """A subject that is here again is known again: triggers find ends by the subject itself."""
    if not conf.current().forget_key:
        return  # nobody can be told from a hash
    names = {generations.forgotten(name): name for name in subjects.spellings(those)}
    for end in End.objects.filter(key__in=[hashed for hashed in names if hashed]):
        end.key = names[end.key]
        end.save(update_fields=["key"])


def _refuse_while_named(key: str) -> str | None:
    """The primary key of who had this subject last, as far as that is known."""
    entity = Entity.objects.filter(kind=USER, key=key).first()
    if subjects.holder(key) is not None:
        raise NotForgotten(f"the user {key} exists: delete it first")
    owner = entity.primary_key if entity else key if Watched().subject_is_key else None
    marks = Mark.objects.filter(kind=USER)
    if owner is not None:
        marks = marks.filter(key=generations.text(owner))
    if marks.exists() or (entity and entity.state is not None):
        raise NotForgotten(f"changes of the user {key} are not in the log yet: try again")
    oldest = Revision.objects.aggregate(oldest=Min("revision"))["oldest"]
    if entity and entity.revision >= oldest:
        raise NotForgotten(
            f"revision {entity.revision} names the user {key}: try again when it is older than"
            " AUTHZ_CHANGELOG['RETENTION_DAYS'] and `manage.py prune_revisions` has run"
        )
    return owner
