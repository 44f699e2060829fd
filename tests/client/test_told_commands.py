"""Every command that a message, a help text or a runbook proposes can be typed as it is written."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from client.main import app
from settings import PROJECT

ROOMS = ("activities", "claude", "client", "domain", "engine", "observability", "store", "workflows")
TYPED = re.compile(r"`(research(?: [^`]+)?)`")
GAP = "\N{REPLACEMENT CHARACTER}"
"""Stands for what a message fills in."""


def texts(tree: ast.AST) -> Iterator[str]:
    """The strings of a module, those that are put together in one piece, with gaps."""
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in ast.walk(node) if part is not node}
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def told() -> list[tuple[str, str]]:
    """Each command with the file that tells it."""
    files = [path for room in ROOMS for path in sorted((PROJECT / room).rglob("*.py"))]
    found = {
        (str(path.relative_to(PROJECT)), " ".join(typed.split()))
        for path in (*files, PROJECT / "worker.py", PROJECT / "settings.py")
        for text in texts(ast.parse(path.read_text()))
        for typed in TYPED.findall(text)
    }
    return sorted(found)


def trouble(typed: str) -> str | None:
    """Why it can't be typed; None where it can. What is filled in, or stands in capitals, may be anything."""
    command: Any = get_command(app)
    words = shlex.split(typed)[1:]
    while words and (below := getattr(command, "commands", None)) and not words[0].startswith("-"):
        if words[0] == GAP:
            return None  # the message names whatever was typed
        if words[0] not in below:
            return f"there is no command {words[0]}"
        command = below[words.pop(0)]
    takes = {option: parameter for parameter in command.params for option in parameter.opts}
    known = {"--help", "-o", "--output", "--home", "--address", "--namespace", "--profile"} | set(takes)
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    given = 0
    while words:
        word = words.pop(0)
        if word.startswith("-"):
            if word not in known:
                return f"there is no option {word}"
            if word in takes and not takes[word].is_flag and not takes[word].count:
                if not words:
                    return f"{word} lacks its value"
                words.pop(0)
        elif word != GAP:  # which may be options, too
            given += 1
    most = None if any(one.nargs == -1 for one in arguments) else len(arguments)
    return "too many arguments" if most is not None and given > most else None


@pytest.mark.parametrize(("file", "typed"), told())
def test_a_proposed_command_can_be_typed(file: str, typed: str) -> None:
    assert trouble(typed) is None


def test_what_cannot_be_typed_is_found() -> None:
    for typed in (
        "research strt",
        "research start --desinger offline",
        "research show a b",
        "research budget set --usd",
    ):
        assert trouble(typed)
    assert len({typed for _, typed in told()}) > 40
    assert {Path(file).parts[0] for file, _ in told()} >= {"client", "domain", "workflows", "engine"}
