"""`authz-sidecar run`: serve until stopped."""

from __future__ import annotations

import argparse

from authz_sidecar import process
from authz_sidecar.commands.command import Command
from authz_sidecar.commands.settings import add_settings, sources
from authz_sidecar.config import configuration


def _main(arguments: argparse.Namespace) -> int:
    return process.run(configuration.read(sources(arguments)))


COMMAND = Command("run", "serve until stopped", add_settings, _main)
