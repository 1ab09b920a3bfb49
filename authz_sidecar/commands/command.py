"""What every command of the command line is made of."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import NamedTuple


class Command(NamedTuple):
    """One word after `authz-sidecar`. `main` returns the exit code; it may raise ConfigurationError."""

    name: str
    help: str
    """One line, for the list of all commands."""
    add_arguments: Callable[[ArgumentParser], None]
    main: Callable[[Namespace], int]
