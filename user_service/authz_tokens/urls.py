"""Routes of the token API."""

from django.urls import path

from authz_tokens.views import ObtainView, RefreshView, RevokeView

urlpatterns = [
    path("token/", ObtainView.as_view(), name="token-obtain"),
    path("token/refresh/", RefreshView.as_view(), name="token-refresh"),
    path("token/revoke/", RevokeView.as_view(), name="token-revoke"),
]
