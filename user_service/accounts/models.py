"""Users of the platform."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import transaction
from django.db.models import F

from accounts.fields import TokenGenerationField
from authz_changelog.revisions import generations


class User(AbstractUser):
    """A Django user whose access tokens can all be ended at once by raising `token_generation`."""

    _password: str | None
    """The new password between `set_password` and `save`; Django's own attribute."""

    token_generation = TokenGenerationField(
        default=0,
        editable=False,
        help_text="Access tokens of an older generation are refused.",
    )

    @transaction.atomic
    def save(self, *args: Any, **kwargs: Any) -> None:
        """A new password also ends whatever was obtained with the old one."""
        password_changed = self._password is not None and not self._state.adding
        super().save(*args, **kwargs)
        if password_changed:
            self.raise_token_generation()

    def raise_token_generation(self) -> None:
        """End every access token, refresh token and session of this user."""
        type(self).objects.filter(pk=self.pk).update(token_generation=F("token_generation") + 1)
        self.refresh_from_db(fields=["token_generation"])

    @property
    def valid_generation(self) -> int:
        """Of the tokens, sign-ins and sessions that are not ended: above what ended with this key before."""
        return generations.current(self)

    def get_session_auth_hash(self) -> str:
        return self._of_this_generation(super().get_session_auth_hash())

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        return map(self._of_this_generation, super().get_session_auth_fallback_hash())

    def _of_this_generation(self, session_hash: str) -> str:
        return f"{session_hash}.{self.valid_generation}"
