"""Renders the Helm chart, and renews what is made from it or put into it.

python -m lab.manifests      # deploy/kubernetes.yaml, and in the chart its version and what the sidecar takes
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from authz_sidecar import __version__
from authz_sidecar.config import policy_model
from authz_sidecar.config.table import TABLE
from lab import ROOT
from lab.stack.binaries import require

CHART = ROOT / "deploy" / "helm" / "authz-sidecar"
EXAMPLE = CHART / "examples" / "student-service.yaml"
OPERATORS = CHART / "examples" / "operators.yaml"
SCHEMA = CHART / "values.schema.json"
PLAIN = ROOT / "deploy" / "kubernetes.yaml"
NAMESPACE = "students"
FIXED = frozenset(
    {
        "AUTHZ_ADMIN_LISTEN",
        "AUTHZ_DRAIN_TIMEOUT",
        "AUTHZ_JWT_AUDIENCE",
        "AUTHZ_JWT_ISSUER",
        "AUTHZ_LISTEN",
        "AUTHZ_MODE",
        "AUTHZ_POLICY",
        "AUTHZ_TLS_CERT",
        "AUTHZ_TLS_KEY",
        "AUTHZ_UPSTREAM",
        "AUTHZ_UPSTREAM_CA",
        "AUTHZ_USER_SERVICE",
        "AUTHZ_VALIDATION",
    }
)
"""Settings that the chart itself gives."""
NOT_OFFERED = frozenset({"AUTHZ_HANDOVER", "AUTHZ_HANDOVER_TIMEOUT", "AUTHZ_ISSUERS_FILE"})
"""For files that it does not mount, and for processes that follow each other on one machine."""
HEADER = """\
# The Student service with the sidecar in front of it, and the User service: see deploy/README.md.
# Made by `python -m lab.manifests` from the chart beside it.
"""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    about = CHART / "Chart.yaml"
    about.write_text(of_this_version(about.read_text()))
    SCHEMA.write_text(json.dumps(with_the_sidecars_own(json.loads(SCHEMA.read_text())), indent=2) + "\n")
    PLAIN.write_text(plain())
    print(f"{PLAIN.relative_to(ROOT)} and {SCHEMA.relative_to(ROOT)} are made anew")


def of_this_version(chart: str) -> str:
    """What is said about the chart, with the version of the sidecar as its own and its images'."""
    return re.sub(r'^((?:v|appV)ersion: "?)[^"\n]*', rf"\g<1>{__version__}", chart, flags=re.MULTILINE)


def with_the_sidecars_own(schema: dict[str, Any]) -> dict[str, Any]:
    """The chart's schema with that of the policy file and the names of settings, which are the sidecar's."""
    made = deepcopy(schema)
    made["$defs"]["policy"] = {"$id": "policy", **policy_model.schema()}
    free = [each.variable for each in TABLE if not each.secret]
    settings = made["properties"]["sidecar"]["properties"]["settings"]
    settings["propertyNames"]["enum"] = [name for name in free if name not in FIXED | NOT_OFFERED]
    return made


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
