"""What every command of the command line is made of."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from math import isfinite
from typing import NamedTuple


class Command(NamedTuple):
    """One word after `authz-sidecar`. `main` returns the exit code; it may raise ConfigurationError."""

    name: str
    help: str
    """One line, for the list of all commands."""
    add_arguments: Callable[[ArgumentParser], None]
    main: Callable[[Namespace], int]


def positive(text: str) -> float:
    """The value of an argument that is a number above 0."""
    value = _number(text)
    if value is None or value == 0:
        raise ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return value


def not_negative(text: str) -> float:
    """The value of an argument that is a number from 0."""
    value = _number(text)
    if value is None:
        raise ArgumentTypeError(f"must be a number from 0, not {text!r}")
    return value


def _number(text: str) -> float | None:
    """`None` for what is no number, and for what is below 0."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) and value >= 0 else None
