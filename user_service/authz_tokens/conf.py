"""The settings of sign-in, `AUTH_…` of Django's, each with its default."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from django.conf import settings as project

DEFAULTS: Final[dict[str, Any]] = {
    "AUTH_ISSUER": "http://localhost:8000",
    "AUTH_AUDIENCES": ["student-service"],
    "AUTH_OWN_AUDIENCE": "user-service",
    "AUTH_KEYS_DIR": Path("keys"),
    "AUTH_SIGNING_ALGORITHM": "RS256",
    "AUTH_KEY_PUBLISH_SECONDS": 300,
    "AUTH_ACCESS_TOKEN_SECONDS": 300,
    "AUTH_REFRESH_TOKEN_SECONDS": 7 * 24 * 3600,
    "AUTH_CORS_ORIGINS": [],
    "AUTH_LOGIN_RATE": "10/min",
    "AUTH_LOGIN_PLACES": 2,
    "TRUSTED_PROXIES": 0,
}


class _Settings:
    def __getattr__(self, name: str) -> Any:
        """The project's, or the default."""
        return getattr(project, name, DEFAULTS[name])


settings = _Settings()
