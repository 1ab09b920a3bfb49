"""Users, groups and permissions in Django admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission
from django.db.models import ManyToManyField, QuerySet
from django.http import HttpRequest

from accounts import services
from accounts.models import User
from accounts.selectors import permissions_labelled

if TYPE_CHECKING:
    from accounts.selectors import LabelledPermission


class AdministratorsOnly(admin.ModelAdmin):
    """Staff may use the admin, but whoever can edit users or grants could promote themselves."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.is_superuser

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.is_superuser


class LabelledPermissions(forms.ModelMultipleChoiceField):
    def label_from_instance(self, obj: LabelledPermission) -> str:
        return f"{obj.label} — {obj.name}"


class UpdatesOnly(admin.ModelAdmin):
    """What was deleted while its form was open does not come back: a change is never an insert."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.save(force_update=change)


class ReadablePermissions(admin.ModelAdmin):
    """Permissions are chosen by the label that policies use."""

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.related_model is Permission:
            kwargs |= {"queryset": permissions_labelled(), "form_class": LabelledPermissions}
        return super().formfield_for_manytomany(db_field, request, **kwargs)


admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(AdministratorsOnly, UpdatesOnly, ReadablePermissions, DjangoUserAdmin):
    actions = ("sign_out_everywhere",)

    @admin.action(description="Sign out everywhere")
    def sign_out_everywhere(self, request: HttpRequest, users: QuerySet[User]) -> None:
        for user in users:
            services.sign_out_everywhere(user=user)
        messages.success(request, f"Signed out everywhere: {len(users)}.")

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "is_active" in form.changed_data and not obj.is_active:
            services.user_deactivate(user=obj)


# Django's own class may be called without a request; its base class may not, and nobody does.
@admin.register(Group)
class GroupAdmin(AdministratorsOnly, UpdatesOnly, ReadablePermissions, DjangoGroupAdmin):  # type: ignore[misc]
    pass


@admin.register(Permission)
class PermissionAdmin(AdministratorsOnly):
    """To look at only: permissions come from models and from the catalogue."""

    list_display = ("label", "name")
    list_filter = ("content_type__app_label",)
    search_fields = ("content_type__app_label", "codename", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[LabelledPermission]:
        return permissions_labelled()

    @admin.display(ordering="label")
    def label(self, permission: LabelledPermission) -> str:
        return permission.label

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
