"""The permissions of a holder as a resource: read all, replace all, grant one, revoke one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import Permission
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, Serializer
from rest_framework.viewsets import GenericViewSet

from accounts import selectors, services
from accounts.selectors import Holder, permissions_by_label
from accounts.serializers import PermissionSetSerializer, unknown_label

LABEL = r"permissions/(?P<label>[^/\x00]+)"  # PostgreSQL stores no NUL
GRANT_ACTIONS = {"permissions", "replace_permissions", "grant_permission", "revoke_permission"}


class GrantActions(GenericViewSet):
    """Mixin of a viewset whose objects hold permissions."""

    grants_serializer_class: type[Serializer[Any]]
    """Shows what `selectors.grants` says."""

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        return (
            self.grants_serializer_class if self.action in GRANT_ACTIONS else super().get_serializer_class()
        )

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """For lists: filters make a form and several querysets, whatever is asked for."""
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    @extend_schema(filters=False)
    @action(detail=True, methods=["get"])
    def permissions(self, request: Request, **kwargs: Any) -> Response:
        return self._answer(self.get_object())

    @extend_schema(request=PermissionSetSerializer)
    @permissions.mapping.put
    def replace_permissions(self, request: Request, **kwargs: Any) -> Response:
        holder = self.get_object()
        serializer = PermissionSetSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        services.permissions_replace(holder=holder, **serializer.validated_data)
        return self._answer(holder)

    @extend_schema(request=None)
    @action(detail=True, methods=["put"], url_path=LABEL, url_name="permission")
    def grant_permission(self, request: Request, label: str, **kwargs: Any) -> Response:
        holder = self.get_object()
        services.permissions_grant(holder=holder, permissions=_labelled(label))
        return self._answer(holder)

    @extend_schema(responses={204: None})
    @grant_permission.mapping.delete
    def revoke_permission(self, request: Request, label: str, **kwargs: Any) -> Response:
        services.permissions_revoke(holder=self.get_object(), permissions=_labelled(label))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _answer(self, holder: Holder) -> Response:
        return Response(self.get_serializer(selectors.grants(holder)).data)


def _labelled(label: str) -> Sequence[Permission]:
    found, unknown = permissions_by_label([label])
    if unknown:
        raise ValidationError({"permission": [unknown_label(label)]})
    return found
