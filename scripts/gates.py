"""What no linter checks: the size of functions and files, and that nothing names one machine."""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FUNCTION_LINES = 40
MAX_FILE_LINES = 500
MAX_MODULE_LINES = 350
PRODUCT = ("authz_sidecar", "user_service", "student_service")

# Written so that this file does not match itself.
MACHINE = re.compile(r"/wor[k]/|/roo[t]/|pythonhoste[d]|pypi\.or[g]|npmj[s]\.|deb\.debia[n]|debia[n]\.org")


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    violations = [violation for path in _tracked() for violation in _violations(path)]
    print("\n".join(violations))
    return 1 if violations else 0


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S607 (git is found as the user's shell finds it)
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def _violations(path: Path) -> Iterator[str]:
    name = path.relative_to(ROOT)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if MACHINE.search(line):
            yield f"{name}:{number}: names a path of one machine or a registry's host"
    if path.suffix == ".py" and "migrations" not in path.parts:
        most = MAX_MODULE_LINES if name.parts[0] in PRODUCT else MAX_FILE_LINES
        if len(lines) > most:
            yield f"{name}: {len(lines)} lines, at most {most}: give it one reason to exist"
        yield from _long_functions(name, ast.parse(text))


def _long_functions(name: Path, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION_LINES}"


if __name__ == "__main__":
    sys.exit(main())
