"""Finds what is old before a test uses it.

pytest imports all modules before the first test runs, and a fixture with a scope is made once for many
tests. On a busy machine the last of them runs an hour later: a time of today has passed by then, a token has
expired, a port that was free is taken. So nothing of that kind is made there, neither at once nor through a
function, method or class of the same module. What another module does on being called is not followed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

CLOCKS = ("time.", "datetime.", "django.utils.timezone.")
READINGS = frozenset(
    f"{name}{unit}" for name in ("time", "monotonic", "perf_counter") for unit in ("", "_ns")
) | {"now", "utcnow", "today", "localtime", "localdate", "gmtime"}
PORTS = frozenset({"lab.stack.process.free_port"})
"""Not perishable in a fixture: what a server listens on is its own for as long as it runs."""
TOKENS = frozenset({"token"})
"""Methods that sign in: what they return lives for minutes."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def perishable(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The line and the text of each call in a module that makes what a slow run outlives."""
    names = _imported(tree)
    makers = _makers(tree, names)
    for call in _calls(_at_import(tree)):
        if _name(call, names) in PORTS or _perishes(call, names, makers):
            yield call.lineno, ast.unparse(call)
    for fixture in ast.walk(tree):
        if isinstance(fixture, Function) and _is_shared(fixture):
            for call in _calls(ast.walk(fixture)):
                if _called(call) in TOKENS or _perishes(call, names, makers):
                    yield call.lineno, ast.unparse(call)


def _perishes(call: ast.Call, names: Mapping[str, str], makers: set[str]) -> bool:
    name = _name(call, names)
    reads = name.startswith(CLOCKS) and name.rpartition(".")[2] in READINGS
    return reads or _called(call) in makers


def _imported(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _makers(tree: ast.Module, names: Mapping[str, str]) -> set[str]:
    """The module's functions, methods and classes that make something perishable when they are called."""
    bodies = list(_bodies(tree))
    makers: set[str] = set()
    while True:
        known = len(makers)
        makers |= {name for name, calls in bodies if any(_perishes(call, names, makers) for call in calls)}
        if len(makers) == known:
            return makers


def _bodies(tree: ast.Module) -> Iterator[tuple[str, list[ast.Call]]]:
    """What each function and method calls; a class calls what its `__init__` does."""
    for node in ast.walk(tree):
        if isinstance(node, Function) and node.name != "__init__":
            yield node.name, list(_calls(ast.walk(node)))
        elif isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, Function) and each.name == "__init__":
                    yield node.name, list(_calls(ast.walk(each)))


def _at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """Everything that is evaluated as the module is imported: of functions, decorators and default values."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Function | ast.Lambda):
            defaults = (*node.args.defaults, *node.args.kw_defaults)
            waiting += [each for each in defaults if each is not None]
            waiting += [] if isinstance(node, ast.Lambda) else node.decorator_list
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"):
            waiting += ast.iter_child_nodes(node)


def _is_shared(function: Function) -> bool:
    """Whether it is a fixture that serves more than one test."""
    marks = [
        mark for mark in function.decorator_list if isinstance(mark, ast.Call) and _called(mark) == "fixture"
    ]
    return any(keyword.arg == "scope" for mark in marks for keyword in mark.keywords)


def _calls(nodes: Iterator[ast.AST]) -> Iterator[ast.Call]:
    return (node for node in nodes if isinstance(node, ast.Call))


def _name(call: ast.Call, names: Mapping[str, str]) -> str:
    """The full name of what is called; without its beginning, if that is no name."""
    parts, part = [], call.func
    while isinstance(part, ast.Attribute):
        parts.append(part.attr)
        part = part.value
    parts.append(names.get(part.id, part.id) if isinstance(part, ast.Name) else "")
    return ".".join(reversed(parts))


def _called(call: ast.Call) -> str:
    """The last part of its name."""
    return _name(call, {}).rpartition(".")[2]
