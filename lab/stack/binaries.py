"""Where programs are: on the PATH, where Debian keeps what it puts elsewhere, or where the set-up put it."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import ROOT

HELM = ROOT / ".venv" / "bin" / "helm"
# Debian's wrappers on the PATH change to a system user; the programs behind them run as anybody.
_ELSEWHERE = {
    "rabbitmq-server": "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "rabbitmqctl": "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "initdb": "/usr/lib/postgresql/*/bin",
    "postgres": "/usr/lib/postgresql/*/bin",
    "libfaketime.so.1": "/usr/lib/*/faketime",
    "nginx": "/usr/sbin",
    "haproxy": "/usr/sbin",
    "helm": str(HELM.parent),
}


def find(program: str) -> str | None:
    """The path of `program`, or `None`. Where Debian has several versions, the newest."""
    pattern = _ELSEWHERE.get(program)
    found = Path("/").glob(f"{pattern}/{program}".lstrip("/")) if pattern else ()
    newest = max(found, key=_version, default=None)
    return str(newest) if newest else shutil.which(program)


def _version(path: Path) -> list[int]:
    digits = "".join(letter if letter.isdigit() else " " for letter in str(path))
    return [int(number) for number in digits.split()]


def require(program: str) -> str:
    path = find(program)
    if path is None:
        raise FileNotFoundError(f"{program} is not installed; scripts/test says how to get it")
    return path
