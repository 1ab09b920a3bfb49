"""Routes of the sidecars' API; a project includes them at `authz/v1/`."""

from django.urls import path

from authz_changelog.sidecars import views

app_name = "authz_changelog"
urlpatterns = [
    path("head", views.HeadView.as_view(), name="head"),
    path("changes", views.ChangesView.as_view(), name="changes"),
    path("snapshot", views.SnapshotView.as_view(), name="snapshot"),
    path("digest", views.DigestView.as_view(), name="digest"),
    path("subjects/<path:sub>", views.SubjectView.as_view(), name="subject"),
    path("check", views.CheckView.as_view(), name="check"),
    path("history", views.HistoryView.as_view(), name="history"),
    path("permissions", views.PermissionsView.as_view(), name="permissions"),
]
