"""/api/users/"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet

from accounts import selectors, services
from accounts.models import User
from accounts.permissions import IsAdministratorOrReads
from accounts.serializers import (
    GroupSetSerializer,
    MembershipsSerializer,
    UserGrantsSerializer,
    UserSerializer,
)
from accounts.views.grants import GrantActions

GROUP_ID = OpenApiParameter("group_id", OpenApiTypes.INT, OpenApiParameter.PATH)


class UserViewSet(GrantActions, ModelViewSet):
    """Users. Administrators manage everybody; others read themselves."""

    queryset = User.objects.none()
    serializer_class = UserSerializer
    grants_serializer_class = UserGrantsSerializer
    permission_classes = (IsAdministratorOrReads,)
    lookup_value_regex = r"\d+"
    filterset_fields = ("username", "email", "is_active", "is_superuser", "groups__name")
    search_fields = ("username", "email", "first_name", "last_name")
    ordering_fields = ("id", "username", "email", "date_joined")

    def get_queryset(self) -> QuerySet[User]:
        users = selectors.users_visible_to(self.request.user)
        return users.prefetch_related("groups") if self.action == "list" else users

    def perform_destroy(self, instance: User) -> None:
        self._refuse_oneself(instance, "delete")
        instance.delete()

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def activate(self, request: Request, **kwargs: Any) -> Response:
        """Let the user sign in again."""
        user = self.get_object()
        services.user_activate(user=user)
        return Response(self.get_serializer(user).data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def deactivate(self, request: Request, **kwargs: Any) -> Response:
        """Keep the user from doing anything. Every token ends for good."""
        user = self.get_object()
        self._refuse_oneself(user, "deactivate")
        services.user_deactivate(user=user)
        return Response(self.get_serializer(user).data)

    @extend_schema(request=None, responses={204: None})
    @action(
        detail=True, methods=["post"], url_path="sign-out-everywhere", permission_classes=[IsAuthenticated]
    )
    def sign_out_everywhere(self, request: Request, **kwargs: Any) -> Response:
        """End every access token, refresh token and session of the user."""
        services.sign_out_everywhere(user=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=MembershipsSerializer)
    @action(detail=True, methods=["get"])
    def groups(self, request: Request, **kwargs: Any) -> Response:
        """The groups a user is in."""
        return self._memberships(self.get_object())

    @extend_schema(request=GroupSetSerializer, responses=MembershipsSerializer)
    @groups.mapping.put
    def replace_groups(self, request: Request, **kwargs: Any) -> Response:
        user = self.get_object()
        serializer = GroupSetSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        services.groups_replace(user=user, **serializer.validated_data)
        return self._memberships(user)

    @extend_schema(request=None, responses=MembershipsSerializer, parameters=[GROUP_ID])
    @action(detail=True, methods=["put"], url_path=r"groups/(?P<group_id>\d+)", url_name="group")
    def join_group(self, request: Request, group_id: str, **kwargs: Any) -> Response:
        user = self.get_object()
        services.group_join(user=user, group=get_object_or_404(Group, pk=group_id))
        return self._memberships(user)

    @extend_schema(responses={204: None}, parameters=[GROUP_ID])
    @join_group.mapping.delete
    def leave_group(self, request: Request, group_id: str, **kwargs: Any) -> Response:
        services.group_leave(user=self.get_object(), group=get_object_or_404(Group, pk=group_id))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _memberships(self, user: User) -> Response:
        return Response(MembershipsSerializer({"groups": user.groups.order_by("pk")}).data)

    def _refuse_oneself(self, user: User, verb: str) -> None:
        """The last administrator cannot be locked out, because none can remove themselves."""
        if user == self.request.user:
            raise ValidationError({"detail": f"You cannot {verb} yourself; ask another administrator."})
