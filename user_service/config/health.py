"""Probes: is the process alive, and may traffic be sent to it?"""

from django.contrib.auth import get_user_model
from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse

from authz_changelog.revisions.revision_token import revision_token
from authz_tokens import keys


def livez(request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


def readyz(request: HttpRequest) -> JsonResponse:
    """503 names the check that fails; it never shows the error itself, which may name hosts.

    `?proof` also asks whether the change log is proved to be complete. No traffic should be routed by that:
    sign-in, keys and the feed go on without.
    """
    checks = {"database": _database(), "signing_key": bool(keys.published())}
    if "proof" in request.GET:
        checks["proof"] = checks["database"] and revision_token() is not None
    return JsonResponse({"checks": checks}, status=200 if all(checks.values()) else 503)


def _database() -> bool:
    try:
        get_user_model().objects.exists()
    except DatabaseError:
        return False
    return True
