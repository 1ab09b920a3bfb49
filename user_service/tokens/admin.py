"""Sign-ins in Django admin: look at them and end them."""

from django.contrib import admin
from django.http import HttpRequest

from accounts.admin import AdministratorsOnly
from tokens.models import SignIn


@admin.register(SignIn)
class SignInAdmin(AdministratorsOnly, admin.ModelAdmin):
    list_display = ("user", "audience", "created_at", "refreshed_at", "expires_at")
    list_filter = ("audience",)
    list_select_related = ("user",)
    search_fields = ("user__username",)
    exclude = ("digest",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
