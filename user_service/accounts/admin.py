"""Users, groups and permissions in Django admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission
from django.db.models import ManyToManyField, QuerySet
from django.http import HttpRequest

from accounts import services
from accounts.models import User
from accounts.selectors import permissions_to_choose_from
from authz_changelog.catalogue import declaring
from authz_changelog.history.pages import HistoryOfGrants
from authz_changelog.labels import BadLabel, Label

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
            offered = permissions_to_choose_from(self._edited(request))
            kwargs |= {"queryset": offered, "form_class": LabelledPermissions}
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def _edited(self, request: HttpRequest) -> Any:
        """Whose form it is; nobody's yet where one is added."""
        match = request.resolver_match
        key = match.kwargs.get("object_id") if match else None
        return None if key is None else self.get_object(request, unquote(key))


admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(AdministratorsOnly, HistoryOfGrants, UpdatesOnly, ReadablePermissions, DjangoUserAdmin):
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
class GroupAdmin(AdministratorsOnly, HistoryOfGrants, UpdatesOnly, ReadablePermissions, DjangoGroupAdmin):  # type: ignore[misc]
    pass


class DeclarationForm(forms.ModelForm):
    """A permission of another service, by its label."""

    label = forms.CharField(max_length=201, help_text="Like students.add_student.")
    name = forms.CharField(
        max_length=255, required=False, help_text="For people; made of the label if empty."
    )

    class Meta:
        model = Permission
        fields = ("name",)

    def clean_label(self) -> Label:
        try:
            return declaring.can_be_declared(self.cleaned_data["label"])
        except BadLabel as error:
            raise forms.ValidationError(str(error)) from error

    def save(self, commit: bool = True) -> Permission:
        return services.permission_declare(**self.cleaned_data)

    def save_m2m(self) -> None:
        """It has no many-to-many fields."""


@admin.register(Permission)
class PermissionAdmin(AdministratorsOnly):
    """Permissions of other services can be added; those of this service come from its models."""

    form = DeclarationForm

    list_display = ("label", "name")
    list_filter = ("content_type__app_label",)
    search_fields = ("content_type__app_label", "codename", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[LabelledPermission]:
        return permissions_to_choose_from()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The form has saved it."""

    @admin.display(ordering="label")
    def label(self, permission: LabelledPermission) -> str:
        return permission.label

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
