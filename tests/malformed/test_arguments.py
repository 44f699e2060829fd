"""Command lines that make no sense: told in words and by an exit code, with nothing left behind that is not whole."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from hypothesis import strategies as st

from client.exits import ExitCode
from client.main import app
from domain.strategy import load_strategy
from engine.bars import SAMPLES, load_bars

from .conftest import Tried, files, typed

STRATEGY = SAMPLES / "planted_edge.yaml"
TYPERS_OWN = ("--install-completion", "--show-completion")  # They write the configuration of the user's shell.
STAYS = {"dev": ("--port", "0"), "worker": ("--role", "all-of-it"), "serve": ("--port", "-1")}
"""Commands that would stay, each with an option that they refuse."""

NUMBERS = ("0", "-1", "1", "3.5", "nan", "-inf", "1e400", "9" * 30, "9" * 5_000, "0x10", "1_000", "٣")
WORDS = (
    "",
    " ",
    "-",
    "a" * 5_000,
    "a/b",
    "../..",
    "~nobody",
    "\x1b[2J\x07",
    "\u202e\ufeff",
    "\n",
    "\r",
    "None",
    "=",
    "\udcff",
)
SOUND = ("EURUSD", "1h", "offline", "1d", "2026-01-01", "0001-01-01", "9999-12-31", "fx", "UTC", "Europe/Berlin")
BOUNDS = ("backtest_min_trades=9", "backtest_min_trades=nan", "backtest_min_sharpe=1e999", "=1", "training_min_skill=")
PATHS = ("good.yaml", "bad.yaml", "bars.csv", "bad.csv", "binary", "folder", "loop", "pipe", "gone/there", "b" * 300)
HOMES = ("home", "good.yaml", "folder", "gone/there", "loop", "b" * 300, "~nobody")
ADDRESSES = (
    "127.0.0.1:1",
    "127.0.0.1:70000",
    "127.0.0.1",
    "[::1",
    "http://",
    "a b:1",
    "-",
    ":1",
    "\u202e:1",
    "127.1:-1",
)
GLOBAL = {"--home": HOMES, "--address": ADDRESSES, "--namespace": (*WORDS, *SOUND), "--profile": WORDS}


@dataclass(frozen=True)
class Line:
    """A command, how many arguments it takes, and its options with the words that each offers; None for a flag."""

    words: tuple[str, ...]
    arguments: int
    options: dict[str, tuple[str, ...] | None]
    required: tuple[str, ...]


def lines_of(command: Any, *words: str) -> Iterator[Line]:
    """Every command below, as the program itself knows them: a new one is tried without a word here."""
    options: dict[str, tuple[str, ...] | None] = {}
    for option in command.params:
        for name in option.opts:
            if name.startswith("-") and name not in (*TYPERS_OWN, *GLOBAL, "-o", "--output", "--dev"):
                options[name] = None if getattr(option, "is_flag", False) else words_of(option)
    required = tuple(option.opts[0] for option in command.params if option.required and option.opts[0] in options)
    yield Line(words, sum(not option.opts[0].startswith("-") for option in command.params), options, required)
    for name, below in getattr(command, "commands", {}).items():
        yield from lines_of(below, *words, name)


def words_of(option: Any) -> tuple[str, ...]:
    """The words that an option offers, where it offers some."""
    inside = get_args(option.type_descriptor.annotation)
    return tuple(word for one in inside for word in (one, *get_args(one)) if isinstance(word, str))


LINES = list(lines_of(typer.main.get_command(app)))
[START] = [line for line in LINES if line.words == ("start",)]
STARTS = (*START.words, "--designer", "offline")
ANY_TEXT = st.text(st.characters(exclude_characters="\0"), max_size=12).filter(lambda text: not text.startswith("-"))
ANY_WORD = st.sampled_from([*NUMBERS, *WORDS, *SOUND, *BOUNDS, *PATHS]) | ANY_TEXT
ODD = st.sampled_from(["--", "--help", "--no-such", "-", "-x", "---", "--=1"])


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command of ours with sound values and nonsense; one in four with options of others and in any order."""
    line = draw(st.sampled_from([*LINES, START, START, replace(START, words=STARTS), replace(START, words=STARTS)]))
    parts = [[*line.words]]
    names = [*line.required, *draw(st.lists(st.sampled_from([*line.options, *GLOBAL]), max_size=4))]
    parts += [with_value(draw, name, {**line.options, **GLOBAL}[name]) for name in names]
    parts += [[draw(ANY_WORD)] for _ in range(line.arguments)]
    if draw(st.integers(0, 3)) == 0:
        foreign = [option for other in LINES for option in other.options.items()]
        parts.append(draw(ODD.map(lambda word: [word])) if draw(st.booleans()) else [draw(ANY_WORD)])
        parts.append(with_value(draw, *draw(st.sampled_from(foreign))))
        parts = draw(st.permutations(parts)) if draw(st.booleans()) else parts
    arguments = [word for part in parts for word in part]
    for name, refused in STAYS.items():
        if name in arguments:
            at = arguments.index(name) + 1
            arguments = [*arguments[:at], *refused, *arguments[at:], *refused]
    return arguments


def with_value(draw: st.DrawFn, name: str, offered: tuple[str, ...] | None) -> list[str]:
    """An option as it may be typed, with one of the words that it offers, or with any."""
    if offered is None:
        return [name]
    value = draw(st.sampled_from(offered) if offered and (name in GLOBAL or draw(st.integers(0, 3))) else ANY_WORD)
    return [f"{name}={value}"] if name.startswith("--") and draw(st.booleans()) else [name, value]


def make_files(here: Path) -> None:
    """What the paths among the words name."""
    shutil.copy(STRATEGY, here / "good.yaml")
    (here / "bad.yaml").write_text(STRATEGY.read_text().replace("epochs:", "epoch:"))
    (here / "binary").write_bytes(bytes(range(256)))
    rows = [f"2026-03-{day:02}T{hour:02}:00:00Z,1.1,1.2,1.0,1.15,10" for day in range(2, 7) for hour in range(24)]
    (here / "bars.csv").write_text("\n".join(["time,open,high,low,close,volume", *rows, ""]))
    (here / "bad.csv").write_text("time,open\n1,2,3\n")
    (here / "folder").mkdir()
    (here / "loop").symlink_to("loop")
    os.mkfifo(here / "pipe")


@pytest.mark.filterwarnings("ignore:Target host as URL")  # The library's own word for one of these addresses.
def test_no_command_line_ends_without_words_or_leaves_half_a_file(home: Path, tried: Tried) -> None:
    make_files(Path.cwd())

    def check(arguments: list[str]) -> None:
        before = files(home.parent)
        ran = typed(*arguments)
        assert ran.is_told, ran
        assert ran.code != ExitCode.OK or not ran.err.startswith("error")
        assert ran.code in (ExitCode.OK, ExitCode.USAGE) or ran.err.startswith("error: ")
        assert only_whole_files(before, home.parent)

    tried(check, command_lines(), examples=150)


@pytest.mark.filterwarnings("ignore:Target host as URL")
def test_json_that_is_asked_for_is_json_whatever_else_is_typed(home: Path, tried: Tried) -> None:
    make_files(Path.cwd())

    def check(arguments: list[str]) -> None:
        ran = typed("-o", "json", *(word for word in arguments if word not in ("--help", "-h")))
        assert ran.is_told
        assert ran.code == ExitCode.OK or ran.error["message"]

    tried(check, command_lines(), examples=150)


def test_a_start_that_is_refused_leaves_no_strategy_behind(home: Path) -> None:
    ran = typed("start", "x" * 8_001, "--designer", "offline", "--strategy", str(STRATEGY))

    assert ran.code == ExitCode.USAGE
    assert not home.exists()


def only_whole_files(before: dict[Path, bytes], folder: Path) -> bool:
    """Whether nothing was changed, and what is new is a page, a strategy or a set of bars that can be read."""
    after = files(folder)
    for path in after.keys() - before.keys():
        if is_page(after[path]):
            continue
        if path.parent.name == "strategies":
            load_strategy(after[path])
        else:
            symbol, _, timeframe = path.name.removesuffix(".csv.gz").rpartition("_")
            load_bars(symbol, timeframe, path.parent)
    return all(
        after.get(path) == content or (is_page(content) and is_page(after.get(path, b"")))
        for path, content in before.items()
    )


def is_page(content: bytes) -> bool:
    """Whether that is a whole page, as `leaderboard --html` writes one wherever it is told to."""
    return content[:15].lower() == b"<!doctype html>" and content.rstrip().endswith(b"</html>")
