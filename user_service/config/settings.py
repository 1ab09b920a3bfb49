"""Settings of the User service, all from the environment: see docs/user-service.md."""

import os
import warnings
from pathlib import Path

import dj_database_url

from config import env

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = env.flag("DJANGO_DEBUG")
# A key made up at start is safe, but sessions end with the process: production sets its own.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or os.urandom(32).hex()
ALLOWED_HOSTS = env.words("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("DJANGO_CSRF_TRUSTED_ORIGINS", "")

# Behind TLS, cookies travel only over it. Forwarding headers are believed only when told so:
# anybody can send them to a service that has no proxy in front.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.flag("DJANGO_BEHIND_TLS")
SECURE_HSTS_SECONDS = 31_536_000 if SESSION_COOKIE_SECURE else 0
if env.flag("DJANGO_TRUST_FORWARDED_PROTO"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = [
    # First, so that after migrations the log is ready for what the other apps create then.
    "authz_changelog",
    "accounts",
    "authz_tokens",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "authz_tokens.cors.TokenCorsMiddleware",
    "authz_changelog.middleware.RevisionHeaderMiddleware",
    "authz_changelog.middleware.ActorMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "config.bodies.BodyLimitMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.errors.RefusalMiddleware",
]

# What a sign-in takes, and what the longest list of permissions takes. Nothing is ever put into a file.
ANONYMOUS_BODY_BYTES = 64 * 1024
BODY_BYTES = DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": dj_database_url.config(
        env="DATABASE_URL",
        default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}",
        conn_max_age=60,
        conn_health_checks=True,
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # WAL: readers never wait for the writer. IMMEDIATE: a transaction that will write takes its
    # turn at the start instead of failing half way.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 10,  # then the answer is 503; a thread that waits answers nobody
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }

AUTH_USER_MODEL = "accounts.User"
# Memory-hard, so dearer to whoever guesses than Django's default, and three times cheaper for a login.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
LOGIN_REDIRECT_URL = "/api/"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
# Without `collectstatic` the files are served from where they are installed, which is nothing to warn about.
WHITENOISE_USE_FINDERS = not STATIC_ROOT.is_dir()
warnings.filterwarnings("ignore", message="No directory at", category=UserWarning)

AUTH_ISSUER = os.environ.get("AUTH_ISSUER", "http://localhost:8000")
AUTH_KEYS_DIR = Path(os.environ.get("AUTH_KEYS_DIR", BASE_DIR / "keys"))
AUTH_SIGNING_ALGORITHM = os.environ.get("AUTH_SIGNING_ALGORITHM", "RS256")
# Verifiers fetch a new key before its first signature reaches them.
AUTH_KEY_PUBLISH_SECONDS = env.number("AUTH_KEY_PUBLISH_SECONDS", 300, least=0)
AUTH_OWN_AUDIENCE = "user-service"
AUTH_AUDIENCES = env.words("AUTH_AUDIENCES", "student-service")
AUTH_ACCESS_TOKEN_SECONDS = env.number("AUTH_ACCESS_TOKEN_SECONDS", 300, least=1)
AUTH_REFRESH_TOKEN_SECONDS = env.number("AUTH_REFRESH_TOKEN_SECONDS", 7 * 24 * 3600, least=1)
AUTHENTICATION_BACKENDS = ["authz_tokens.backends.LimitedBackend"]
# Origins of browsers whose scripts may sign in, like https://app.example.org; empty: none.
AUTH_CORS_ORIGINS = env.words("AUTH_CORS_ORIGINS", "")
# Attempts per account and client address; empty: no limit but that of attempts under way.
AUTH_LOGIN_RATE = os.environ.get("AUTH_LOGIN_RATE", "10/min")
# Attempts that one process has under way: fewer than its threads, which answer sidecars too.
AUTH_LOGIN_PLACES = env.number("AUTH_LOGIN_PLACES", 2, least=1)
# How many proxies in front are trusted to extend X-Forwarded-For: it decides whose attempts are counted.
TRUSTED_PROXIES = env.number("DJANGO_TRUSTED_PROXIES", 0, least=0)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "authz_tokens.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.IsAdministrator"],
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.SearchFilter",
        "rest_framework.filters.OrderingFilter",
    ],
    "DEFAULT_PAGINATION_CLASS": "config.pagination.Pages",
    "DEFAULT_SCHEMA_CLASS": "config.schema.ActionSchema",
    "EXCEPTION_HANDLER": "config.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "User service",
    "DESCRIPTION": "Users, groups, their permissions, and access tokens.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
}

LOG_LEVEL = env.choice("DJANGO_LOG_LEVEL", "info", ("debug", "info", "warning", "error"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "config.logs.JsonFormatter"},
        "plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain" if DEBUG else "json"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL.upper()},
    # Django's own handlers would repeat each line, and mail error pages.
    "loggers": {name: {"handlers": [], "propagate": True} for name in ("django", "django.server")},
}

AUTHZ_CHANGELOG = {
    "AMQP_URL": os.environ.get("AUTHZ_AMQP_URL", ""),
    "AUDIT_SECONDS": env.number("AUTHZ_AUDIT_SECONDS", 600, least=1),
    "FORGET_KEY": os.environ.get("AUTHZ_FORGET_KEY", ""),
    "HISTORY_DAYS": env.number("AUTHZ_HISTORY_DAYS", 365, least=1),
    "PERMISSIONS": env.words(
        "AUTHZ_PERMISSIONS",
        "students.add_student,students.change_student,students.delete_student,students.view_student",
    ),
    "RETENTION_DAYS": env.number("AUTHZ_LOG_RETENTION_DAYS", 7, least=1),
    "SUBJECT": env.words("AUTHZ_SUBJECT", "pk"),
}
