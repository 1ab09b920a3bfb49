"""Model fields of users."""

from django.db import models
from django.db.models import F
from django.db.models.expressions import Combinable


class TokenGenerationField(models.PositiveIntegerField):
    """Changes only by an explicit `update()`.

    An ordinary `save()` keeps what the database holds: a stale copy of the user, saved after
    "sign out everywhere", would otherwise bring the ended tokens back to life.
    """

    def pre_save(self, model_instance: models.Model, add: bool) -> int | Combinable:
        return super().pre_save(model_instance, add) if add else F(self.attname)
