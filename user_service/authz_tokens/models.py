"""Sign-ins: what lets a client obtain further access tokens without the password."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone


class SignIn(models.Model):
    """One sign-in with a password, and the family of refresh tokens that came from it.

    Only the newest token of the family is good, and only its hash is kept. The family's id is part
    of each of its tokens, so one that was replaced is recognised without being stored.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sign_ins")
    audience = models.CharField(max_length=200)
    token_generation = models.PositiveIntegerField(help_text="The user's, when the password was given.")
    bound_to = models.CharField(
        max_length=64, db_default="", help_text="Hash of what ends it when it changes; of older ones nothing."
    )
    digest = models.CharField(max_length=64, help_text="SHA-256 of the secret of the newest refresh token.")
    created_at = models.DateTimeField(default=timezone.now)
    refreshed_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "sign-in"

    def __str__(self) -> str:
        return f"{self.user} for {self.audience} since {self.created_at:%Y-%m-%d %H:%M}"


class AttemptCount(models.Model):
    """Attempts to sign in, in one window of time: on one account, from one address, or both.

    A table and not Django's cache, which cannot add one in one step: guesses sent in parallel would
    be counted once.
    """

    who = models.CharField(max_length=64)
    window_ends = models.DateTimeField(db_index=True)
    attempts = models.PositiveIntegerField(default=0)
    let_in_at = models.DateTimeField(null=True, help_text="When an attempt that is slowed may be made.")

    class Meta:
        constraints = (models.UniqueConstraint("who", "window_ends", name="one_count_per_window"),)
