"""Sign-in forms of the admin and the browsable API, limited like the API's own."""

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from tokens.throttling import LoginThrottle


class LimitedMixin:
    def clean(self) -> dict[str, Any]:
        if not LoginThrottle().allow_request(self.request, None):
            raise ValidationError("Too many attempts. Wait a minute and try again.", code="throttled")
        return super().clean()


class LimitedAuthenticationForm(LimitedMixin, AuthenticationForm):
    pass


class LimitedAdminAuthenticationForm(LimitedMixin, AdminAuthenticationForm):
    pass
