"""The settings as flags, for the commands that take them all."""

from __future__ import annotations

import argparse
import os
from collections.abc import Container
from typing import Final

from authz_sidecar.config.configuration import Sources
from authz_sidecar.config.table import TABLE

ALL: Final = frozenset(setting.variable for setting in TABLE)


def add_settings(parser: argparse.ArgumentParser, variables: Container[str] = ALL) -> None:
    """A flag for each of these settings; only what is given becomes an attribute."""
    if variables is ALL:
        parser.usage = "%(prog)s [--SETTING VALUE]... [OPTION]...   (--help lists them)"
    for setting in TABLE:
        if setting.variable not in variables:
            continue
        default = (
            "required" if setting.required else f"default {setting.default}" if setting.default else "unset"
        )
        parser.add_argument(
            setting.flag,
            dest=setting.variable,
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=f"{setting.help} [{setting.variable}, {default}]".replace("%", "%%"),
        )


def sources(arguments: argparse.Namespace) -> Sources:
    """What was said by flags and by the environment."""
    flags = {name: value for name, value in vars(arguments).items() if name.startswith("AUTHZ_")}
    return Sources(flags, os.environ)
