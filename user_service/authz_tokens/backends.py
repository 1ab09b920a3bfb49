"""Where passwords are looked at: Django's own way, limited."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from authz_tokens import throttling


class LimitedBackend(ModelBackend):
    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **given: Any,
    ) -> Any:
        """The user, of the project's own model, or `None`. Raises `TooManyAttempts`.

        Without a request it is the service itself that asks: not limited.
        """
        name = given.get(get_user_model().USERNAME_FIELD) if username is None else username
        if request is None or name is None or password is None:
            return super().authenticate(request, username, password, **given)
        with throttling.attempt(request, name):
            return super().authenticate(request, username, password, **given)
