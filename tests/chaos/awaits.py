"""Every place where an activity waits, read from the code: a worker may die at each of them.

A place is an `await`, one item of an `async with` (where it is entered), an `async for` or an async comprehension, in
an async function of the modules of activities, Claude and engines that an activity can reach. Reached is what is
named: a function counts where a reached one has its name in it, whatever it is called on.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from settings import PROJECT

MODULES = (
    "activities/*.py",
    "claude/*.py",
    "domain/**/*.py",
    "engine/**/*.py",
    "store/**/*.py",
    "tests/metered/turns.py",
)
"""Metered turns stand for those of a designer that costs money: they are what a metered cycle waits for."""

AsyncFunction = ast.AsyncFunctionDef
Position = tuple[int, int, int, int]


@dataclass(frozen=True)
class Await:
    """One place. nth: in its function, in the order of the text, from 1.

    position: of the instruction that waits, as the compiler notes it. entered: of an `async with`, which of how many
    items, from 0.
    """

    module: str
    function: str
    nth: int
    text: str
    position: Position
    entered: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """As people read it in a test's id."""
        return f"{Path(self.module).stem}.{self.function}-{self.nth}"

    @property
    def row(self) -> tuple[str, str, str, str]:
        """As it stands in the table."""
        return self.module, self.function, str(self.nth), self.text


def awaits() -> tuple[Await, ...]:
    """All places, in the order of the modules and of their text."""
    functions: dict[tuple[str, str], AsyncFunction | ast.FunctionDef] = {}
    sources: dict[str, str] = {}
    for pattern in MODULES:
        for path in sorted(PROJECT.glob(pattern)):
            module = path.relative_to(PROJECT).as_posix()
            sources[module] = path.read_text()
            for name, function in _functions(ast.parse(sources[module])):
                functions[module, name] = function
    reached = _reached(functions)
    return tuple(
        place
        for (module, name), function in functions.items()
        if (module, name) in reached and isinstance(function, AsyncFunction)
        for place in _places(module, name, function, sources[module])
    )


def _functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, AsyncFunction | ast.FunctionDef]]:
    """All functions of a tree, with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, AsyncFunction | ast.FunctionDef):
            yield inside + node.name, node
            yield from _functions(node, f"{inside}{node.name}.<locals>.")
        else:
            yield from _functions(node, f"{inside}{node.name}." if isinstance(node, ast.ClassDef) else inside)


def _reached(functions: Mapping[tuple[str, str], AsyncFunction | ast.FunctionDef]) -> set[tuple[str, str]]:
    """Those that an activity calls, or that something which it calls may call."""
    found: set[tuple[str, str]] = set()
    new = {key for key, function in functions.items() if _is_activity(function)}
    while new:
        found |= new
        named = {word for key in new for word in _words(functions[key])}
        new = {key for key in functions if key[1].rpartition(".")[2] in named} - found
    return found


def _is_activity(function: AsyncFunction | ast.FunctionDef) -> bool:
    return any("activity.defn" in ast.unparse(mark) for mark in function.decorator_list)


def _words(function: AsyncFunction | ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _places(module: str, name: str, function: AsyncFunction, source: str) -> Iterator[Await]:
    found: list[tuple[Position, str, tuple[int, int] | None]] = []
    for node in _of_its_own(function):
        if isinstance(node, ast.AsyncWith):
            for n, item in enumerate(node.items):
                text = f"async with {_text(source, item.context_expr)}"
                found.append((_position(node), text, (n, len(node.items))))
        elif isinstance(node, ast.AsyncFor):
            text = f"async for {_text(source, node.target)} in {_text(source, node.iter)}"
            found.append((_position(node), text, None))
        elif isinstance(node, ast.Await) or _is_async_comprehension(node):
            found.append((_position(node), _text(source, node), None))
    for nth, (position, text, entered) in enumerate(sorted(found, key=lambda place: place[0]), 1):
        yield Await(module, name, nth, text, position, entered)


def _of_its_own(function: AsyncFunction) -> Iterator[ast.AST]:
    """The nodes of a function's body that are not of a function inside it."""
    nodes: list[ast.AST] = [*function.body]
    while nodes:
        node = nodes.pop()
        if not isinstance(node, AsyncFunction | ast.FunctionDef | ast.Lambda):
            yield node
            nodes.extend(ast.iter_child_nodes(node))


def _is_async_comprehension(node: ast.AST) -> bool:
    kinds = ast.ListComp | ast.SetComp | ast.DictComp
    return isinstance(node, kinds) and any(one.is_async for one in node.generators)


def _position(node: ast.AST) -> Position:
    assert isinstance(node, ast.expr | ast.stmt)
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _text(source: str, node: ast.AST) -> str:
    """The source in one line."""
    return " ".join((ast.get_source_segment(source, node) or "").split())
