"""Routes of the User service."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from accounts.views import pages
from authz_changelog.history.views import ChangesView
from config import health

browsable_login = [
    path(
        "login/",
        LoginView.as_view(template_name="rest_framework/login.html"),
        name="login",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
]

urlpatterns = [
    path("", pages.home, name="home"),
    path("history/", pages.history, name="history"),
    path("admin/", admin.site.urls),
    path("api/", include("accounts.urls")),
    path("api/changes/", ChangesView.as_view(), name="changes"),
    path("api/auth/", include((browsable_login, "rest_framework"))),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(), name="docs"),
    path("authz/v1/", include("authz_changelog.urls")),
    path("", include("authz_tokens.root")),
    path("livez", health.livez),
    path("readyz", health.readyz),
]
