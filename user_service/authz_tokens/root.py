"""Routes of sign-in where a project includes them at its root: the token API, and the keys for sidecars."""

from django.urls import include, path

from authz_tokens.views import jwks

urlpatterns = [
    path("api/", include("authz_tokens.urls")),
    path(".well-known/jwks.json", jwks, name="jwks"),
]
