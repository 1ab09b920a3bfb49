"""Routes of the Student service."""

from django.contrib import admin
from django.urls import include, path

from config import health

urlpatterns = [
    path("", include("students.urls")),
    path("admin/", admin.site.urls),
    path("livez", health.livez),
    path("readyz", health.readyz),
]
