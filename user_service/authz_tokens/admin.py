"""Sign-ins in Django admin: look at them and end them."""

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest

from authz_tokens.models import SignIn


@admin.register(SignIn)
class SignInAdmin(admin.ModelAdmin):
    list_display = ("user", "audience", "created_at", "refreshed_at", "expires_at")
    list_filter = ("audience",)
    list_select_related = ("user",)
    search_fields = (f"user__{get_user_model().USERNAME_FIELD}",)
    exclude = ("digest",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.is_superuser

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
