"""Routes of the sidecars' API; the project puts them at `/authz/v1/`."""

from django.urls import path

from authz_changelog.sidecars import views

app_name = "authz_changelog"
urlpatterns = [
    path("head", views.head, name="head"),
    path("changes", views.changes, name="changes"),
    path("snapshot", views.whole_state, name="snapshot"),
    path("digest", views.digests, name="digest"),
    path("subjects/<path:sub>", views.subject, name="subject"),
    path("check", views.check, name="check"),
    path("permissions", views.permissions, name="permissions"),
]
