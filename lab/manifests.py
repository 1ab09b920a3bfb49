"""Renders the Helm chart, and renews what is made from it or put into it.

python -m lab.manifests      # writes deploy/kubernetes.yaml, and the policy's schema into the chart's own
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from authz_sidecar.config import policy_model
from lab import ROOT
from lab.stack.binaries import require

CHART = ROOT / "deploy" / "helm" / "authz-sidecar"
EXAMPLE = CHART / "examples" / "student-service.yaml"
OPERATORS = CHART / "examples" / "operators.yaml"
SCHEMA = CHART / "values.schema.json"
PLAIN = ROOT / "deploy" / "kubernetes.yaml"
NAMESPACE = "students"
HEADER = """\
# The Student service with the sidecar in front of it, and the User service: see deploy/README.md.
# Made by `python -m lab.manifests` from the chart beside it.
"""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    SCHEMA.write_text(json.dumps(with_policy_schema(json.loads(SCHEMA.read_text())), indent=2) + "\n")
    PLAIN.write_text(plain())
    print(f"{PLAIN.relative_to(ROOT)} and {SCHEMA.relative_to(ROOT)} are made anew")


def with_policy_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The chart's schema with that of the policy file, which is the sidecar's own."""
    policy = {"$id": "policy", **policy_model.schema()}
    return {**schema, "$defs": {**schema["$defs"], "policy": policy}}


def plain() -> str:
    """Without the empty lines that templates leave."""
    lines = render([EXAMPLE]).splitlines()
    return HEADER + "".join(f"{line}\n" for line in lines if line.strip())


def render(values: Sequence[Path], *settings: str) -> str:
    """What Helm prints. Raises `CalledProcessError`, which has what it complains of."""
    return helm("template", "students", str(CHART), "--namespace", NAMESPACE, *_given(values, settings))


def lint(values: Sequence[Path]) -> str:
    return helm("lint", "--strict", str(CHART), *_given(values, ()))


def helm(*arguments: str) -> str:
    done = subprocess.run([require("helm"), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def _given(values: Sequence[Path], settings: Sequence[str]) -> list[str]:
    files = [argument for path in values for argument in ("--values", str(path))]
    return [*files, *(argument for each in settings for argument in ("--set", each))]


if __name__ == "__main__":
    main()
