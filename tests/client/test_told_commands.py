"""Every command that a message or a help text proposes can be typed as it is written, and works."""

import ast
import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from client.main import app
from settings import PROJECT
from store.strategies import StrategyFiles
from tests.ran import Ran

from .conftest import SMALL_STRATEGY

ROOMS = ("activities", "claude", "client", "domain", "engine", "observability", "store", "workflows")
TYPED = re.compile(r"`(research(?: [^`]+)?)`")
GAP = "\N{REPLACEMENT CHARACTER}"
"""Stands for what a message fills in."""


def docstrings(tree: ast.AST) -> set[int]:
    """The nodes of the docstrings: the code's readers see them, and those who type commands don't."""
    blocks = [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]
    return {id(each.value) for block in blocks for each in block if isinstance(each, ast.Expr)}


def texts(tree: ast.AST, *, told: bool = False) -> Iterator[str]:
    """The strings of a module, those that are put together in one piece, with gaps. told: without the docstrings."""
    inside = docstrings(tree) if told else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in ast.walk(node) if part is not node}
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def told(*, at_run_time: bool = False) -> list[tuple[str, str]]:
    """Each command with the file that tells it. at_run_time: only those that the program itself tells."""
    files = [path for room in ROOMS for path in sorted((PROJECT / room).rglob("*.py"))]
    found = {
        (str(path.relative_to(PROJECT)), " ".join(typed.split()))
        for path in (*files, PROJECT / "worker.py", PROJECT / "settings.py")
        for text in texts(ast.parse(path.read_text()), told=at_run_time)
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


STAYING = {
    "research dev": "goes on until Ctrl-C: tests/test_dev_stack has it",
    "research worker": "goes on until Ctrl-C: tests/test_dev_stack has it",
    "research serve": "goes on until Ctrl-C: tests/serve has it",
    "research": "the name of the program, in its made pages",
}
LACKING = {
    "research data import FILE": "what else it needs depends on the file: the error of the rest names each option",
    "research data import FILE --replace": "as above",
}
VALUES = {
    ("cancel",): "{cycle}",
    ("status",): "{cycle}",
    ("show",): "{cycle}",
    ("report",): "{cycle}",
    ("schedule", "show"): "nightly",
    ("schedule", "delete"): "nightly",
    ("strategy", "show"): "{strategy}",
    ("strategy", "validate"): "{file}",
    ("data", "check"): "EURUSD",
    ("budget", "set", "--tokens"): "600000",
    ("budget", "set"): "--tokens 600000",
}
"""What a message fills in, by the words before it."""

ENDS = {
    "research cancel": 1,  # the cycle has ended
    "research start": 3,  # the budget is paused
}
"""The exit codes that are not 0, by how the command begins."""


def filled_in(typed: str, **real: str) -> list[str]:
    """The words of a command, with real things in place of gaps and of names in capitals."""
    words = typed.split()[1:]
    for position, word in enumerate(words):
        if word in (GAP, "CYCLE", "FILE", "N"):
            words[position] = VALUES[tuple(words[:position])].format(**real)
    return shlex.split(" ".join(words))


async def test_a_proposed_command_works_as_it_is_typed(reaching, place) -> None:
    async def typing(*words: str) -> Ran:
        return await asyncio.to_thread(reaching, *words)

    await typing("budget", "pause", "nothing is to begin")
    refused = await typing("start", "--designer", "offline", "-o", "json")
    ended = refused.json["error"]["started"]["cycle_id"]
    await typing("status", ended, "--watch")  # until it is recorded
    strategy = StrategyFiles(place.settings.strategies).save("small", SMALL_STRATEGY.read_text())
    real = {"cycle": ended, "strategy": strategy.name, "file": str(SMALL_STRATEGY)}
    wrong = []
    proposed = {typed for _, typed in told(at_run_time=True)} - set(STAYING)
    for typed in sorted(proposed - set(LACKING)):
        if typed.startswith("research schedule ") and GAP in typed:
            await typing("schedule", "create", "nightly", "--designer", "offline", "--every", "1d")
        if typed.startswith("research start"):
            await typing("budget", "pause", "nothing is to begin")
        ran = await typing(*filled_in(typed, **real))
        code = next((code for begin, code in ENDS.items() if typed.startswith(begin)), 0)
        if ran.code != code or "Traceback" in ran.err:
            wrong.append((typed, ran.code, ran.err))
    await typing("schedule", "delete", "nightly")
    await typing("budget", "resume")
    await typing("budget", "set", "--tokens", "500000")
    assert wrong == []
    assert len(proposed) > 30
    assert set(LACKING) <= proposed


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
