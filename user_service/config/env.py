"""Reads settings from the environment; a value that cannot be used is an error that names its variable.

An empty variable counts as missing, because Compose files pass on what is not set as empty.
"""

import os
from collections.abc import Collection

from django.core.exceptions import ImproperlyConfigured

FLAGS = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}


def choice(name: str, default: str, allowed: Collection[str]) -> str:
    value = os.environ.get(name, "").strip().lower() or default
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def flag(name: str) -> bool:
    return FLAGS[choice(name, "0", FLAGS)]


def words(name: str, default: str) -> list[str]:
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def number(name: str, default: int, *, least: int) -> int:
    value = os.environ.get(name, "").strip() or str(default)
    if not (value.isascii() and value.isdigit() and int(value) >= least):
        raise ImproperlyConfigured(f"{name} must be a whole number from {least} up, not {value!r}.")
    return int(value)
