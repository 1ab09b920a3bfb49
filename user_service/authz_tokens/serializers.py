"""Shapes of the token API."""

from rest_framework import serializers

from authz_tokens import access


class ObtainSerializer(serializers.Serializer):
    username = serializers.CharField(max_length=254)
    password = serializers.CharField(
        write_only=True, trim_whitespace=False, max_length=256, style={"input_type": "password"}
    )
    audience = serializers.CharField(
        required=False, help_text="The service the token is for; when missing, the first configured one."
    )

    def validate_audience(self, audience: str) -> str:
        if audience not in access.audiences():
            known = ", ".join(access.audiences())
            raise serializers.ValidationError(f"No tokens are issued for {audience!r}, only for: {known}.")
        return audience


class RefreshSerializer(serializers.Serializer):
    refresh = serializers.CharField(max_length=200)


class RevokeSerializer(serializers.Serializer):
    token = serializers.CharField(max_length=200, help_text="A refresh token.")


class TokenPairSerializer(serializers.Serializer):
    access = serializers.CharField()
    refresh = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds until the access token expires.")
