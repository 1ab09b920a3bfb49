"""Which changes somebody asks for."""

from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from authz_changelog.marks.kinds import GROUP, USER
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Change
from authz_changelog.revisions import generations


class BadQuestion(ValueError):
    """The parameter, and what is wrong with it."""

    def __init__(self, parameter: str, problem: str) -> None:
        super().__init__(f"{parameter}: {problem}")
        self.parameter, self.problem = parameter, problem


PARAMETERS = ("user", "group", "actor", "revision", "request")


def changes(asked: Mapping[str, str]) -> QuerySet[Change]:
    """The newest first. Raises `BadQuestion`."""
    found = Change.objects.order_by("-pk")
    if unknown := sorted(set(asked) - set(PARAMETERS)):
        raise BadQuestion(unknown[0], f"is not known; these are: {', '.join(PARAMETERS)}")
    if nul := [name for name, value in asked.items() if "\0" in value]:
        raise BadQuestion(nul[0], "contains NUL")
    if "user" in asked:
        found = found.filter(of_user(user_key("user", asked["user"])))
    if "group" in asked:
        found = found.filter(of_group(asked["group"]))
    if "actor" in asked:
        found = found.filter(actor_key=user_key("actor", asked["actor"]))
    if "revision" in asked:
        found = found.filter(of_revision(asked["revision"]))
    if "request" in asked:
        found = found.filter(request=asked["request"])
    return found


def of_user(key: str) -> Q:
    """What happened to this user, and statements of so many users that it may be among them."""
    return Q(kind=USER, key__in=[key, ""])


def of_group(key: str) -> Q:
    """The same; who joined and left is told of users."""
    return Q(kind=GROUP, key__in=[key, ""]) | Q(kind=USER, what=GROUP, item=key)


def of_revision(text: str) -> Q:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise BadQuestion("revision", f"{text!r} is no whole number")
    revision = int(text)
    return Q(revision=revision) | Q(revision__lte=revision, last_revision__gte=revision, of_many=True)


def user_key(parameter: str, text: str) -> str:
    """As the database spells the primary key; given so, or as the name that the user signs in with."""
    model = Watched().user
    named = model._base_manager.filter(**{str(getattr(model, "USERNAME_FIELD")): text}).first()  # noqa: B009 (Model has none)
    if named is not None:
        return generations.text(named.pk)
    try:
        return generations.text(model._meta.pk.to_python(text))
    except ValidationError as error:
        raise BadQuestion(parameter, f"there is no user {text!r}") from error
