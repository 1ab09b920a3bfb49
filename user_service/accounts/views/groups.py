"""/api/groups/ and /api/permissions/"""

from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet
from rest_framework.mixins import CreateModelMixin, ListModelMixin
from rest_framework.viewsets import GenericViewSet, ModelViewSet

from accounts.permissions import IsAdministratorOrReads
from accounts.selectors import groups_visible_to, permissions_to_choose_from
from accounts.serializers import (
    GroupGrantsSerializer,
    GroupSerializer,
    PermissionSerializer,
)
from accounts.views.grants import GrantActions


class GroupViewSet(GrantActions, ModelViewSet):
    """Groups. Administrators manage them all; others read the groups they are in."""

    queryset = Group.objects.none()
    serializer_class = GroupSerializer
    grants_serializer_class = GroupGrantsSerializer
    permission_classes = (IsAdministratorOrReads,)
    lookup_value_regex = r"\d+"
    filterset_fields = ("name",)
    search_fields = ("name",)
    ordering_fields = ("id", "name")

    def get_queryset(self) -> QuerySet[Group]:
        return groups_visible_to(self.request.user)


class PermissionViewSet(CreateModelMixin, ListModelMixin, GenericViewSet):
    """The permissions that can be given. Administrators declare those of other services."""

    queryset = Permission.objects.none()
    serializer_class = PermissionSerializer
    permission_classes = (IsAdministratorOrReads,)
    filterset_fields = {"content_type__app_label": ["exact"], "codename": ["exact"]}  # noqa: RUF012 (the library's form)
    search_fields = ("content_type__app_label", "codename", "name")
    ordering_fields = ("label", "name")

    def get_queryset(self) -> QuerySet[Permission]:
        return permissions_to_choose_from()
