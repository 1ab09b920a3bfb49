"""Settings of a project that adopts the change log with a user model of its own."""

import os

SECRET_KEY = "not a secret"
INSTALLED_APPS = [
    "authz_changelog",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "members",
]
AUTH_USER_MODEL = os.environ["USER_MODEL"]
DATABASES = {
    "default": {"ENGINE": os.environ.get("ENGINE", "django.db.backends.sqlite3"), "NAME": os.environ["NAME"]}
}
SILENCED_SYSTEM_CHECKS = ["auth.W004", "fields.W340"]
USE_TZ = True
AUTHZ_CHANGELOG = {"SUBJECT": os.environ.get("SUBJECT", "pk")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
