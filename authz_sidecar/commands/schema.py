"""`authz-sidecar schema`: the JSON Schema of the policy file, for editors."""

from __future__ import annotations

import argparse
import json

from authz_sidecar.commands.command import Command
from authz_sidecar.config import policy_model


def _add_arguments(_parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def _main(_arguments: argparse.Namespace) -> int:
    print(json.dumps(policy_model.schema(), indent=2))
    return 0


COMMAND = Command("schema", "print the JSON Schema of the policy file", _add_arguments, _main)
