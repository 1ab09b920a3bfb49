"""System checks of the settings tokens are made with."""

from pathlib import Path
from typing import Any

from django.conf import settings as project
from django.core.checks import CheckMessage, Error, Warning, register

from authz_tokens import keys, throttling
from authz_tokens.conf import settings

LIMITED = "authz_tokens.backends.LimitedBackend"


@register
def check_algorithm(**kwargs: Any) -> list[CheckMessage]:
    if settings.AUTH_SIGNING_ALGORITHM in keys.GENERATE:
        return []
    return [
        Error(
            f"AUTH_SIGNING_ALGORITHM is {settings.AUTH_SIGNING_ALGORITHM!r}, which is not known here.",
            hint=f"Set it to one of: {', '.join(keys.GENERATE)}.",
            id="tokens.E001",
        )
    ]


@register
def check_keys(**kwargs: Any) -> list[CheckMessage]:
    directory = settings.AUTH_KEYS_DIR
    try:
        files = sorted(path for path in directory.iterdir() if path.suffix == ".pem")
    except FileNotFoundError:
        files = []
    except OSError as problem:
        hint = "Name a directory that this process may read."
        return [Error(f"AUTH_KEYS_DIR={directory}: {problem.strerror}.", hint=hint, id="tokens.E002")]
    if not files:
        hint = "Run `manage.py new_signing_key`; until then no token can be issued."
        return [Warning(f"AUTH_KEYS_DIR={directory} holds no signing key.", hint=hint, id="tokens.W001")]
    return [problem for path in files for problem in _check_key(path)]


def _check_key(path: Path) -> list[CheckMessage]:
    try:
        keys.parse(path.read_bytes(), 0)
    except (keys.BadKey, OSError) as problem:
        hint = "Remove it, or replace it by the output of `manage.py new_signing_key`."
        return [Error(f"AUTH_KEYS_DIR: {path} cannot be used: {problem}.", hint=hint, id="tokens.E003")]
    return []


@register
def check_names(**kwargs: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    if not settings.AUTH_ISSUER:
        hint = "Set it to this service's base URL, as verifiers expect it in `iss`."
        problems.append(Error("AUTH_ISSUER is empty.", hint=hint, id="tokens.E004"))
    if not settings.AUTH_AUDIENCES:
        hint = "List the services that tokens are issued for, separated by commas."
        problems.append(Error("AUTH_AUDIENCES is empty.", hint=hint, id="tokens.E005"))
    return problems


@register
def check_backend(**kwargs: Any) -> list[CheckMessage]:
    if LIMITED in project.AUTHENTICATION_BACKENDS:
        return []
    hint = f"Set AUTHENTICATION_BACKENDS = [{LIMITED!r}]."
    return [
        Warning("AUTHENTICATION_BACKENDS: attempts to sign in are not limited.", hint=hint, id="tokens.W002")
    ]


@register
def check_login_rate(**kwargs: Any) -> list[CheckMessage]:
    try:
        throttling.parse_rate(settings.AUTH_LOGIN_RATE)
    except (ValueError, KeyError, IndexError):
        hint = "Write a number and a period, such as 10/min; the periods are s, min, h and d."
        return [Error(f"AUTH_LOGIN_RATE is {settings.AUTH_LOGIN_RATE!r}.", hint=hint, id="tokens.E006")]
    return []
