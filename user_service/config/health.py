"""Probes: is the process alive, and may traffic be sent to it?"""

from django.contrib.auth import get_user_model
from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse

from tokens import keys


def livez(request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


def readyz(request: HttpRequest) -> JsonResponse:
    """503 names the check that fails; it never shows the error itself, which may name hosts."""
    checks = {"database": _database(), "signing_key": bool(keys.published())}
    return JsonResponse({"checks": checks}, status=200 if all(checks.values()) else 503)


def _database() -> bool:
    try:
        get_user_model().objects.exists()
    except DatabaseError:
        return False
    return True
