"""The change log in Django admin: to look at, never to change."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from authz_changelog.models import Entity, Head, Revision, ServiceToken, Slice


class ReadOnlyAdmin(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Head)
class HeadAdmin(ReadOnlyAdmin):
    list_display = ("revision", "epoch")


@admin.register(Revision)
class RevisionAdmin(ReadOnlyAdmin):
    list_display = ("revision", "marked_at", "at", "entities")
    ordering = ("-revision",)
    date_hierarchy = "at"
    show_full_result_count = False


@admin.register(Entity)
class EntityAdmin(ReadOnlyAdmin):
    list_display = ("kind", "key", "revision", "state")
    list_filter = ("kind",)
    search_fields = ("=key",)
    ordering = ("-revision",)
    show_full_result_count = False


@admin.register(Slice)
class SliceAdmin(ReadOnlyAdmin):
    list_display = ("section", "after", "until", "compared_at")
    ordering = ("compared_at",)


@admin.register(ServiceToken)
class ServiceTokenAdmin(ReadOnlyAdmin):
    """Tokens are made by `manage.py new_service_token`; here they can be revoked."""

    list_display = ("name", "created_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    @admin.action(description="Revoke the selected service tokens", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ServiceToken]) -> None:
        queryset.filter(revoked_at=None).update(revoked_at=timezone.now())

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("authz_changelog.change_servicetoken")
