"""Who may call the API. Only administrators (superusers) write, so nobody can promote themselves."""

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request


class IsAdministrator(BasePermission):
    message = "Only administrators may do this."

    def has_permission(self, request: Request, view: object) -> bool:
        return bool(request.user.is_authenticated and request.user.is_superuser)


class IsAdministratorOrReads(IsAdministrator):
    """Anybody signed in may read what the view's queryset shows them."""

    def has_permission(self, request: Request, view: object) -> bool:
        reads = request.user.is_authenticated and request.method in SAFE_METHODS
        return bool(reads) or super().has_permission(request, view)
