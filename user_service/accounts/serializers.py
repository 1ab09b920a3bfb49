"""Shapes of the API of users, groups and permissions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework import serializers

from accounts import services
from accounts.models import User
from accounts.selectors import permissions_by_label
from authz_changelog.catalogue import declaring
from authz_changelog.labels import BadLabel, Label, parse

PROFILE = ("username", "email", "first_name", "last_name")


class UserSerializer(serializers.ModelSerializer):
    password = serializers.CharField(
        write_only=True, trim_whitespace=False, max_length=256, style={"input_type": "password"}
    )
    groups: serializers.PrimaryKeyRelatedField[Group] = serializers.PrimaryKeyRelatedField(
        many=True, read_only=True
    )

    class Meta:
        model = User
        read_only_fields = ("id", "is_active", "date_joined")
        fields = (*read_only_fields, *PROFILE, "password", "is_superuser", "is_staff", "groups")

    def to_internal_value(self, data: Any) -> Any:
        """Names that look alike become the same name before it is checked that nobody has it."""
        if isinstance(data, dict) and isinstance(data.get("username"), str):
            data = {**data, "username": User.normalize_username(data["username"])}
        return super().to_internal_value(data)

    def create(self, validated_data: dict[str, Any]) -> User:
        return services.user_create(**validated_data)

    def update(self, instance: User, validated_data: dict[str, Any]) -> User:
        return services.user_update(user=instance, **validated_data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        self._keep_own_rights(attrs)
        if "password" in attrs:
            profile = {name: attrs.get(name, getattr(self.instance, name, "")) for name in PROFILE}
            try:
                validate_password(attrs["password"], User(**profile))
            except DjangoValidationError as problem:
                raise serializers.ValidationError({"password": problem.messages}) from problem
        return attrs

    def _keep_own_rights(self, attrs: dict[str, Any]) -> None:
        """The last administrator cannot be locked out, because none can demote themselves."""
        if self.instance == self.context["request"].user and attrs.get("is_superuser") is False:
            message = "You cannot take away your own administrator rights; ask another administrator."
            raise serializers.ValidationError({"is_superuser": [message]})


class GroupSerializer(serializers.ModelSerializer):
    class Meta:
        model = Group
        fields = ("id", "name")

    def update(self, instance: Group, validated_data: dict[str, Any]) -> Group:
        return services.group_update(group=instance, **validated_data)


class PermissionSerializer(serializers.Serializer):
    label = serializers.CharField(max_length=201)  # type: ignore[assignment] # a field of the answer, not the serializer's own label
    name = serializers.CharField(max_length=255, required=False, help_text="For people.")

    def validate_label(self, text: str) -> Label:
        """It must be a label, and none that exists, or that is a matter of this project's models."""
        try:
            return declaring.can_be_declared(text)
        except BadLabel as error:
            raise serializers.ValidationError(str(error)) from error

    def create(self, validated_data: dict[str, Any]) -> Permission:
        return services.permission_declare(**validated_data)


class PermissionSetSerializer(serializers.Serializer):
    """Labels on the outside, permissions on the inside."""

    permissions = serializers.ListField(child=serializers.CharField(max_length=201), max_length=10_000)

    def validate_permissions(self, labels: list[str]) -> Sequence[Permission]:
        found, unknown = permissions_by_label(labels)
        if unknown:
            raise serializers.ValidationError([unknown_label(label) for label in unknown])
        return found


def unknown_label(label: str) -> str:
    """What is said of a label that nobody bears, with the mend."""
    try:
        parse(label)
    except BadLabel as error:
        return str(error)
    return (
        f"There is no permission {label!r}; GET /api/permissions/ lists those that exist,"
        " POST adds one of another service."
    )


class GroupGrantsSerializer(GroupSerializer):
    permissions = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Group
        fields = ("id", "name", "permissions")


class UserGrantsSerializer(serializers.Serializer):
    direct = serializers.ListField(child=serializers.CharField(), read_only=True)
    via_groups = GroupGrantsSerializer(many=True, read_only=True)
    effective = serializers.ListField(child=serializers.CharField(), read_only=True)


class GroupSetSerializer(serializers.Serializer):
    groups = serializers.PrimaryKeyRelatedField(many=True, queryset=Group.objects.all())


class MembershipsSerializer(serializers.Serializer):
    groups = GroupSerializer(many=True, read_only=True)
