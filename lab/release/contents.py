"""What must be in a built archive, and what must not be."""

from __future__ import annotations

import ast
import re
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

from lab import ROOT
from lab.release.distributions import Distribution

OF_A_BUILD = re.compile(r"(PKG-INFO|setup\.cfg|MANIFEST\.in|[\w.]+\.egg-info(/.*)?)$")
"""What setuptools itself puts into an sdist."""
LIBRARY = re.compile(r"(.+?)\.\w[\w-]+\.so$")
"""A module that is compiled, with the tag of its interpreter."""
SHARED = "authz_sidecar__mypyc"
"""What all compiled modules are in; each of theirs only leads there."""


def compiled_modules() -> set[str]:
    """Paths without suffix, as `setup.py` lists what is compiled."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMPILED":
            patterns: tuple[str, ...] = ast.literal_eval(node.value)
            paths = [path for pattern in patterns for path in (ROOT / "authz_sidecar").glob(pattern)]
            return {str(path.relative_to(ROOT).with_suffix("")) for path in paths}
    raise LookupError("setup.py lists nothing as COMPILED")


def of_sdist(archive: Path, distribution: Distribution) -> list[str]:
    """What is wrong with an sdist, a sentence each."""
    with tarfile.open(archive) as opened:
        found = {member.name.partition("/")[2] for member in opened if member.isfile()}
    wanted = {*distribution.files, *distribution.others}
    return [*_differences(archive, wanted, {name for name in found if not OF_A_BUILD.match(name)})]


def of_wheel(archive: Path, distribution: Distribution, *, compiled: bool) -> list[str]:
    """What is wrong with a wheel, a sentence each."""
    with zipfile.ZipFile(archive) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name and name[-1] != "/"}
        (metadata,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        said = message_from_bytes(opened.read(metadata))
    libraries = {found[1] for name in names if (found := LIBRARY.match(name))}
    wanted = {SHARED, *compiled_modules()} if compiled else set()
    return [
        *_differences(archive, set(distribution.files), {name for name in names if not LIBRARY.match(name)}),
        *_differences(archive, wanted, libraries),
        *(
            f"{archive.name} says that it is {key} {said[key]}, not {value}"
            for key, value in {"Name": distribution.name, "Version": distribution.version}.items()
            if said[key] != value
        ),
    ]


def _differences(archive: Path, wanted: set[str], found: set[str]) -> Iterator[str]:
    for name in sorted(wanted - found):
        yield f"{archive.name} lacks {name}"
    for name in sorted(found - wanted):
        yield f"{archive.name} holds {name}, which nobody asked for"
