"""Builds the package. With AUTHZ_COMPILE=1 what runs for each request is compiled.

Why, and how both are tested: docs/decisions/0002-compiled.md.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import Extension, setup

COMPILED = (
    "answers.py",
    "authn/keys.py",
    "authn/tokens.py",
    "authz/cached.py",
    "codes.py",
    "core/bearer.py",
    "core/decision.py",
    "core/entities.py",
    "core/errors.py",
    "core/fields.py",
    "core/headers.py",
    "core/hosts.py",
    "core/naming.py",
    "core/origins.py",
    "core/ownership.py",
    "core/phases.py",
    "core/policy.py",
    "core/proofs.py",
    "core/remembered.py",
    "core/replica.py",
    "core/rules.py",
    "core/steps.py",
    "core/target.py",
    "core/verdicts.py",
    "observe/composed.py",
    "observe/decision_log.py",
    "observe/hooks.py",
    "observe/instants.py",
    "observe/lines.py",
    "observe/metrics.py",
    "observe/redaction.py",
    "observe/tallies.py",
    "pipeline.py",
    "proxy/[a-z]*.py",
    "replica/history.py",
    "replica/near_cache.py",
)


def extensions() -> list[Extension]:
    if os.environ.get("AUTHZ_COMPILE") != "1":
        return []
    from mypyc.build import mypycify  # not needed to install the package as it is

    paths = [str(path) for pattern in COMPILED for path in sorted(Path("authz_sidecar").glob(pattern))]
    return list(mypycify(paths, opt_level="2", multi_file=True, group_name="authz_sidecar"))


setup(ext_modules=extensions())
