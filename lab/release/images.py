"""The images of this version, built by Docker where one runs."""

from __future__ import annotations

import subprocess

from lab import ROOT
from lab.release.distributions import CHANGELOG, SIDECAR
from lab.setup.bootstrap import run


def files() -> dict[str, str]:
    """What each image is built from, by the tags that the chart asks for."""
    return {
        f"authz-sidecar:{SIDECAR.version}": "sidecar",
        f"user-service:{CHANGELOG.version}": "user-service",
        f"student-service:{SIDECAR.version}": "student-service",
    }


def missing() -> str:
    """Why none can be built here; nothing if they can."""
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, check=False)  # noqa: S607 (found as the user's shell finds it)
    except OSError:
        return "there is no Docker"
    return "no Docker daemon answers" if done.returncode else ""


def build(tag: str) -> list[str]:
    """Builds one image, whose label says the version, too; what is wrong with it, a sentence each."""
    version = tag.partition(":")[2]
    label = f"org.opencontainers.image.version={version}"
    name = files()[tag]
    file = ROOT / "compose" / f"{name}.Dockerfile"
    run(["docker", "build", "--quiet", "--file", file, "--tag", tag, "--label", label, ROOT])
    if name != "sidecar":
        return []
    argv = ["docker", "run", "--rm", tag, "--version"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    return (
        [] if said == f"authz-sidecar {version} (compiled)" else [f"the image {tag} says that it is {said}"]
    )
