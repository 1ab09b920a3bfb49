"""Pages for people: where to go, how the change log is, and what a user was given and lost."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from authz_changelog import status
from authz_changelog.history import lines, selecting

LINES = 100
"""Of one page."""

signed_in = login_required(login_url="rest_framework:login")


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Anybody may see where to sign in; how the log is is for administrators."""
    shown = {"status": status.read()} if request.user.is_superuser else {}
    return render(request, "accounts/home.html", shown)


@require_safe
@signed_in
def history(request: HttpRequest) -> HttpResponse:
    """Of `?user=`, or of everybody; who is no administrator sees what happened to himself."""
    asked = {name: value for name in selecting.PARAMETERS if (value := request.GET.get(name, "").strip())}
    if not request.user.is_superuser:
        if asked not in ({}, {"user": request.user.get_username()}):
            raise PermissionDenied
        asked = {"user": request.user.get_username()}
    try:
        changes = selecting.changes(asked)
    except selecting.BadQuestion as error:
        return render(request, "accounts/history.html", {"asked": asked, "problem": error}, status=400)
    page = Paginator(changes, LINES).get_page(request.GET.get("page"))
    told = lines.lines(list(page.object_list))
    return render(request, "accounts/history.html", {"asked": asked, "page": page, "lines": told})
