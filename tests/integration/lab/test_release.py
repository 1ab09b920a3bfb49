"""What is released is whole, and runs where it is installed. Compiled wheels: `scripts/release --check`."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from sysconfig import get_path
from typing import NamedTuple

import pytest

from lab.release import contents, images, interpreters, trial
from lab.release.distributions import CHANGELOG, DISTRIBUTIONS, SIDECAR, Distribution, sdist, wheel

pytestmark = pytest.mark.skipif(
    not (find_spec("build") and find_spec("twine")),
    reason="what builds releases is missing: python3 -m lab.setup.bootstrap --dev --release",
)


class Built(NamedTuple):
    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[Distribution, Built]:
    folder = tmp_path_factory.mktemp("release")
    archives = {each: sdist(each, folder) for each in DISTRIBUTIONS}
    return {each: Built(archive, wheel(archive, folder / each.name)) for each, archive in archives.items()}


@pytest.mark.parametrize("each", DISTRIBUTIONS, ids=lambda each: each.name)
def test_they_hold_what_is_tracked_and_nothing_else(
    built: dict[Distribution, Built], each: Distribution
) -> None:
    assert contents.of_sdist(built[each].sdist, each) == []
    assert contents.of_wheel(built[each].wheel, each, compiled=False) == []
    assert built[each].wheel.name.endswith(f"-{each.version}-py3-none-any.whl")


def test_a_file_that_is_missing_or_too_much_is_told(built: dict[Distribution, Built], tmp_path: Path) -> None:
    wrong = tmp_path / built[CHANGELOG].wheel.name
    lost = "authz_changelog/templates/authz_changelog/object_history.html"
    with zipfile.ZipFile(built[CHANGELOG].wheel) as good, zipfile.ZipFile(wrong, "w") as made:
        for name in set(good.namelist()) - {lost}:
            made.writestr(name, good.read(name))
        made.writestr("config/settings.py", "")
    assert contents.of_wheel(wrong, CHANGELOG, compiled=False) == [
        f"{wrong.name} lacks {lost}",
        f"{wrong.name} holds config/settings.py, which nobody asked for",
    ]


def test_a_wheel_without_its_libraries_is_not_compiled(built: dict[Distribution, Built]) -> None:
    told = contents.of_wheel(built[SIDECAR].wheel, SIDECAR, compiled=True)
    assert any(each.endswith("lacks authz_sidecar/pipeline") for each in told)
    assert len(told) == len(contents.compiled_modules()) + 1


def test_an_index_takes_their_metadata(built: dict[Distribution, Built]) -> None:
    files = [path for each in built.values() for path in each]
    checked = [sys.executable, "-m", "twine", "check", "--strict", *files]
    done = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[trial.Environment]:
    """An environment with nothing in it but what the wheels require, which others have installed already."""
    environment = trial.Environment(tmp_path / "empty")
    environment.variables["PYTHONPATH"] = get_path("purelib")
    return environment


def test_the_sidecar_runs_where_its_wheel_is_installed(
    built: dict[Distribution, Built], empty: trial.Environment
) -> None:
    empty.install(built[SIDECAR].wheel, "--no-deps")
    assert trial.of_sidecar(empty, ".py") == []


def test_the_change_log_runs_where_its_wheel_is_installed(
    built: dict[Distribution, Built], empty: trial.Environment
) -> None:
    empty.install(built[CHANGELOG].wheel, "--no-deps")
    assert trial.of_changelog(empty) == []


def test_both_have_one_version() -> None:
    assert SIDECAR.version == CHANGELOG.version


def test_a_python_is_at_hand() -> None:
    """At least the one that runs this, where it can compile at all."""
    found = interpreters.at_hand()
    assert set(found) <= set(interpreters.supported())
    assert "3.11" in interpreters.supported()


def test_images_are_tagged_and_labelled_with_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, told = tmp_path / "docker", tmp_path / "told"
    says = f"authz-sidecar {SIDECAR.version} (compiled)"
    program.write_text(f'#!/bin/sh\necho "$@" >>{told}\n[ "$1" != run ] || echo "{says}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert images.missing() == ""
    for tag in images.files():
        assert images.build(tag) == []
    lines = told.read_text().splitlines()
    for tag in images.files():
        (line,) = (each for each in lines if f"--tag {tag} " in each)
        assert f"--label org.opencontainers.image.version={SIDECAR.version}" in line
    assert f"run --rm authz-sidecar:{SIDECAR.version} --version" in lines
