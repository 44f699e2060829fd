"""Workflow code, and all of ours that it imports, has no clock, no chance, no environment and no file of its own.

The SDK's sandbox guards only modules that it loads anew for every run, and of workflow code that is passed through it
no clock, chance or environment; it took a third of the event loop's samples in a profile of a worker. The code is
looked at here instead, every line of it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from settings import PROJECT

IMPORTS = frozenset(
    (
        *("time", "random", "os", "sys", "secrets", "uuid", "socket", "subprocess", "threading", "multiprocessing"),
        *("shutil", "tempfile", "sqlite3", "urllib", "httpx", "logging", "io", "glob", "numpy", "pandas", "anthropic"),
    )
)
"""What gives another answer the next time, or has an effect."""

CALLS = frozenset(
    {"now", "utcnow", "today", "uuid1", "uuid4", "urandom", "getenv", "time", "monotonic", "perf_counter"}
)
BUILTINS = frozenset({"open", "input", "print", "exec", "eval", "__import__", "hash", "id"})
FILES = frozenset({"read_text", "write_text", "read_bytes", "write_bytes", "exists", "is_file", "iterdir", "mkdir"})

ROOTS = sorted((PROJECT / "workflows").glob("*.py"))


def module_file(name: str) -> Path | None:
    """Of our own."""
    path = PROJECT.joinpath(*name.split("."))
    return next((found for found in (path.with_suffix(".py"), path / "__init__.py") if found.is_file()), None)


def imports(tree: ast.Module) -> Iterator[str]:
    """What is imported, wherever; not what only a type checker reads."""
    unread = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in set(ast.walk(tree)) - unread:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reachable() -> dict[Path, ast.Module]:
    """Every module of ours that workflow code is made of."""
    found: dict[Path, ast.Module] = {}
    waiting = list(ROOTS)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = ast.parse(path.read_text())
            waiting += [file for name in imports(found[path]) if (file := module_file(name))]
    return found


def offences(tree: ast.Module) -> Iterator[str]:
    """What must not stand in workflow code."""
    for name in imports(tree):
        if name.split(".")[0] in IMPORTS:
            yield f"imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Name(id=name) if name in BUILTINS:
                    yield f"line {node.lineno}: {name}()"
                case ast.Attribute(value=ast.Name(id="workflow"), attr=_):
                    pass  # Temporal's own: replayed as it was.
                case ast.Attribute(attr=name) if name in CALLS or name in FILES:
                    yield f"line {node.lineno}: .{name}()"


def test_workflow_code_has_no_clock_chance_environment_or_file() -> None:
    found = {
        str(path.relative_to(PROJECT)): told for path, tree in reachable().items() if (told := sorted(offences(tree)))
    }
    assert found == {}
    assert len(reachable()) > len(ROOTS), "what workflows import was not looked at"


@pytest.mark.parametrize(
    "code",
    [
        "import random",
        "from time import time",
        "import os.path",
        "def late():\n    import random",
        "at = datetime.now(UTC)",
        "key = uuid4.uuid4()",
        "text = open('x').read()",
        "text = Path('x').read_text()",
        "print(1)",
    ],
)
def test_what_it_looks_for_is_found(code: str) -> None:
    assert list(offences(ast.parse(code)))


def test_temporals_own_clock_and_chance_are_allowed() -> None:
    assert list(offences(ast.parse("key = workflow.uuid4(); at = workflow.now()"))) == []
