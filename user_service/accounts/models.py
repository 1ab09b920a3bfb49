"""Users of the platform."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A Django user whose access tokens can all be ended at once by raising `token_generation`."""

    token_generation = models.PositiveIntegerField(
        default=0,
        editable=False,
        help_text="Access tokens of an older generation are refused.",
    )
