"""/api/token/ and the published keys."""

from typing import Any

from django.contrib.auth import authenticate
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from authz_tokens import access, keys, services
from authz_tokens.authentication import CHALLENGE
from authz_tokens.conf import settings
from authz_tokens.serializers import (
    ObtainSerializer,
    RefreshSerializer,
    RevokeSerializer,
    TokenPairSerializer,
)


class Unavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "There is no signing key; an operator runs `manage.py new_signing_key`."


class TokenView(APIView):
    """What the endpoints share: the body is the credential, and the answer is nobody else's."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        return CHALLENGE

    def handle_exception(self, exc: Exception) -> Response:
        return super().handle_exception(Unavailable() if isinstance(exc, access.NoSigningKey) else exc)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        return response


class ObtainView(TokenView):
    """Sign in with user name and password."""

    serializer_class = ObtainSerializer

    @extend_schema(request=ObtainSerializer, responses=TokenPairSerializer)
    def post(self, request: Request) -> Response:
        serializer = ObtainSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        given = serializer.validated_data
        user = authenticate(request, username=given["username"], password=given["password"])
        if user is None:  # unknown, inactive and wrong password alike, and equally slow
            raise AuthenticationFailed("No active user has this name and password.")
        pair = services.sign_in(user=user, audience=given.get("audience", access.audiences()[0]))
        return Response(TokenPairSerializer(pair).data)


class RefreshView(TokenView):
    """Exchange a refresh token for a new pair. It works once; used again, it ends the sign-in."""

    serializer_class = RefreshSerializer

    @extend_schema(request=RefreshSerializer, responses=TokenPairSerializer)
    def post(self, request: Request) -> Response:
        serializer = RefreshSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            pair = services.refresh(token=serializer.validated_data["refresh"])
        except services.SignInEnded as problem:
            raise AuthenticationFailed("The refresh token is no longer good; sign in again.") from problem
        return Response(TokenPairSerializer(pair).data)


class RevokeView(TokenView):
    """End a sign-in (RFC 7009). The answer is the same for a token that is not known."""

    serializer_class = RevokeSerializer

    @extend_schema(request=RevokeSerializer, responses={200: None})
    def post(self, request: Request) -> Response:
        serializer = RevokeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        services.revoke(token=serializer.validated_data["token"])
        return Response()


@require_safe
def jwks(request: HttpRequest) -> JsonResponse:
    """RFC 7517. Cached for less than the time a new key waits before it signs."""
    response = JsonResponse({"keys": [key.jwk for key in keys.published()]})
    response["Cache-Control"] = f"public, max-age={min(60, settings.AUTH_KEY_PUBLISH_SECONDS // 2)}"
    return response
