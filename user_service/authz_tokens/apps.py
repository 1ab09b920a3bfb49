from django.apps import AppConfig


class TokensConfig(AppConfig):
    name = "authz_tokens"
    label = "tokens"
    verbose_name = "sign-in"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from authz_tokens import checks  # noqa: F401 (registers the checks, which need the app registry)
