"""Builds what is released into `dist/`, once all of it is proved. With `--check` it only proves it."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from lab import ROOT
from lab.release import contents, images, interpreters, trial
from lab.release.distributions import (
    CHANGELOG,
    DISTRIBUTIONS,
    SIDECAR,
    Distribution,
    only,
    portable,
    sdist,
    wheel,
)
from lab.release.trial import Environment
from lab.setup.bootstrap import run, step
from lab.setup.compiled import ensure_compiler
from lab.stack.process import StackError

CONSTRAINTS = ROOT / "constraints.txt"
COMPILERS = ("mypy", "setuptools")


def main() -> int:
    """The exit code: 0 when everything holds, 1 when something does not, 2 when it cannot be asked for."""
    given = _arguments()
    found = interpreters.at_hand()
    if unknown := sorted(set(given.python or ()) - set(found)):
        print(f"error: not at hand: {', '.join(unknown)}; there is {', '.join(found)}", file=sys.stderr)
        return 2
    with TemporaryDirectory(prefix="release-") as folder:
        release = Release(Path(folder))
        ensure_compiler()
        release.make({version: path for version, path in found.items() if version in (given.python or found)})
        if not (release.problems or given.check):
            _keep(release.built)
    for problem in release.problems:
        print(f"FAILED: {problem}")
    print(f"{len(release.problems)} problems in {', '.join(path.name for path in release.built)}")
    return 1 if release.problems else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/release", description=__doc__)
    parser.add_argument("--check", action="store_true", help="prove all of it, and write nothing here")
    only_these = (
        "compile for this Python alone, like 3.11 (more than once for several); else for each at hand"
    )
    parser.add_argument("--python", action="append", metavar="VERSION", help=only_these)
    return parser.parse_args()


def _keep(built: Iterable[Path]) -> None:
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    (ROOT / "dist").mkdir()
    for path in built:
        shutil.copy(path, ROOT / "dist")


class Release:
    """Everything that is built, in one folder, and what was found to be wrong with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.built: list[Path] = []
        self.problems: list[str] = []

    def make(self, pythons: dict[str, str]) -> None:
        """`pythons`: what the sidecar is compiled for, by version."""
        for what, proof in self._proofs(pythons):
            try:
                with step(what):
                    self.problems += proof()
            except subprocess.CalledProcessError as error:
                self.problems.append(f"{what}: {' '.join(map(str, error.cmd))} said\n{error.output}")
            except StackError as error:
                self.problems.append(f"{what}: {error}")

    def _proofs(self, pythons: dict[str, str]) -> Iterator[tuple[str, Callable[[], list[str]]]]:
        for each in DISTRIBUTIONS:
            yield f"{each.name} {each.version}, as it is written", partial(self.written, each)
        for version, python in pythons.items():
            yield f"{SIDECAR.name}, compiled for {version}", partial(self.compiled, python)
        yield "what an index asks for", self.metadata
        if why := images.missing():
            print(f"images: left out, {why}")
            return
        for tag in images.files():
            yield f"image {tag}", partial(images.build, tag)

    def written(self, distribution: Distribution) -> list[str]:
        """Its sdist, and the wheel without anything compiled that comes of it."""
        archive = sdist(distribution, self._folder)
        pure = wheel(archive, self._folder / "pure" / distribution.name)
        self.built += [archive, pure]
        environment = Environment(self._folder / "empty" / distribution.name)
        environment.install(pure, "--constraint", CONSTRAINTS)
        return [
            *contents.of_sdist(archive, distribution),
            *contents.of_wheel(pure, distribution, compiled=False),
            *(trial.of_sidecar(environment, ".py") if distribution is SIDECAR else []),
            *(trial.of_changelog(environment) if distribution is CHANGELOG else []),
        ]

    def compiled(self, python: str) -> list[str]:
        """The wheel for one interpreter, built from the sdist and installed where no compiler is."""
        folder = self._folder / python.strip("/").replace("/", "-")
        builder = folder / "builder" / "bin" / "python"
        run([python, "-m", "venv", folder / "builder"])
        requirements: list[str] = SIDECAR.project["project"]["dependencies"]
        run([builder, "-m", "pip", "install", "-q", "-c", CONSTRAINTS, *COMPILERS, *requirements])
        archive = only(self._folder / "sdists" / SIDECAR.name, "*.tar.gz")
        made = portable(wheel(archive, folder / "raw", builder, compiled=True), folder / "made")
        self.built.append(made)
        environment = Environment(folder / "empty", builder)
        environment.install(made, "--constraint", CONSTRAINTS)
        return [*contents.of_wheel(made, SIDECAR, compiled=True), *trial.of_sidecar(environment, ".so")]

    def metadata(self) -> list[str]:
        """What an index would refuse."""
        run([sys.executable, "-m", "twine", "check", "--strict", *self.built])
        return [
            f"an index refuses {path.name}" for path in self.built if path.name.endswith("-linux_x86_64.whl")
        ]
