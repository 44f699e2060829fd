"""Every command there is: its exit code and its answer with and without a server, as text, JSON and JSON lines, off a
terminal and on one. A command that is new fails here until it stands in the table.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from typer.main import get_command

from client.audit_report import Audit
from client.config import Held
from client.doctor import Examined
from client.leaderboard import Ranked
from client.main import app
from client.report_data import WrittenReport
from client.schedules import Deleted, ListedSchedule, ScheduleView
from client.strategy_files import StrategyReport
from client.views import Cancelled, CycleView, ListedCycle, SetUp, Started, StatusView
from domain.cycle import StrategyRef
from domain.ledger import BudgetStatus
from domain.ledger_messages import DayEntries, DaySummary
from domain.memory import HypothesisRecord
from engine.bars import BarsInfo
from engine.bars_report import BarsReport
from store.cycles import Store

SMALL_STRATEGY = Path(__file__).parent.parent / "workflows" / "small_strategy.yaml"
ESCAPE = "\x1b"
LIVING = {("dev",), ("worker",), ("serve",)}
"""These go on until somebody ends them: tests/test_dev_stack, test_namespace and tests/serve have them."""


@dataclass(frozen=True)
class Row:
    """A command line and its exit codes: where no server answers, and on a house that works. {name}: filled in.

    answer: what its JSON is on the house, where it is no error.
    """

    typed: str
    alone: int
    working: int
    answer: Any = None

    @property
    def words(self) -> list[str]:
        return self.typed.split()


TABLE = [
    Row("start --designer offline --strategy {long}", 6, 0, Started),
    Row("status", 6, 0, StatusView),
    Row("list", 6, 0, list[ListedCycle]),
    Row("show {cycle}", 0, 0, CycleView),
    Row("report {cycle} --out {home}/report.html", 0, 0, WrittenReport),
    Row("leaderboard", 0, 0, list[Ranked]),
    Row("cancel", 6, 0, Cancelled),
    Row("hypotheses", 0, 0, list[HypothesisRecord]),
    Row("setup", 6, 0, SetUp),
    Row("doctor", 6, 0, Examined),
    Row("config", 0, 0, list[Held]),
    Row("fork {cycle} --from assess --set backtest_min_sharpe=-0.5", 6, 0, Started),
    Row("replay {cycle}", 6, 2),  # of the store alone: the server has no history of it
    Row("budget", 6, 0, BudgetStatus),
    Row("budget set --tokens 500000", 6, 0, BudgetStatus),
    Row("budget pause lunch", 6, 0, BudgetStatus),
    Row("budget resume", 6, 0, BudgetStatus),
    Row("budget restart", 6, 0, BudgetStatus),  # the ledger runs: nothing is done
    Row("budget entries", 6, 0, DayEntries),
    Row("budget history", 6, 0, list[DaySummary]),
    Row("budget verify", 6, 0, Audit),
    Row("strategy validate {strategy}", 0, 0, StrategyReport),
    Row("strategy list", 0, 0, list[StrategyRef]),
    Row("strategy show small", 2, 2),
    Row("data list", 0, 0, list[BarsInfo]),
    Row("data check EURUSD 1h", 0, 0, BarsReport),
    Row("data check {home}/none.csv 1h --asset-class fx", 2, 2),
    Row("data import {home}/none.csv --symbol ABC --timeframe 1h --asset-class fx", 2, 2),
    Row("schedule create {name} --every 6h --designer offline", 6, 0, ScheduleView),
    Row("schedule list", 6, 0, list[ListedSchedule]),
    Row("schedule show {name}", 6, 0, ScheduleView),
    Row("schedule pause {name}", 6, 0, ScheduleView),
    Row("schedule resume {name}", 6, 0, ScheduleView),
    Row("schedule delete {name}", 6, 0, Deleted),
]


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all commands, and of groups that do something by themselves."""
    below = getattr(command, "commands", None)
    if below is None or (path and command.invoke_without_command):
        yield path
    for name, one in (below or {}).items():
        yield from commands(one, (*path, name))


def test_the_table_has_every_command() -> None:
    there = set(commands(get_command(app)))
    told = {path for path in there for row in TABLE if tuple(row.words[: len(path)]) == path}
    assert told == there - LIVING


def answers(out: str, format_: str) -> list[Any]:
    """The JSON values on stdout; fails where anything else is there."""
    if format_ == "json":
        return [json.loads(out)]
    return [json.loads(line) for line in out.splitlines()]


def problem(out: str, format_: str) -> dict[str, str]:
    """The error that stdout tells, which ends with what to type."""
    [told] = answers(out, format_)
    assert {"code", "message"} <= set(told["error"])
    return dict(told["error"])


def filled(row: Row, **values: object) -> list[str]:
    return [word.format_map(values) for word in row.words]


@pytest.mark.parametrize("format_", ["text", "json", "jsonl"])
def test_without_a_server_each_command_works_or_says_what_to_type(command, completed, tmp_path, long, format_) -> None:
    home = tmp_path / "home"
    store = Store.open(f"sqlite:///{home / 'research.db'}", migrate=True)
    store.record(completed)
    store.close()
    for row in TABLE:
        arguments = filled(row, cycle=completed.cycle_id, home=home, long=long, strategy=SMALL_STRATEGY, name="nightly")
        ran = command("--address", "127.0.0.1:1", "-o", format_, *arguments)
        assert ran.code == row.alone, (row.typed, ran.out, ran.err)
        assert ESCAPE not in ran.out + ran.err
        if format_ == "text":
            told = ran.err
        else:
            error = problem(ran.out, format_) if row.alone else {}
            # What comes from the rooms below tells in its message what to do.
            told = error.get("next") or error.get("message", "") or str(answers(ran.out, format_))
        if row.alone == 6:
            assert "research dev" in told or "research dev" in ran.out, (row.typed, ran.out, ran.err)
        assert (row.alone == 0) or told, row.typed


async def test_on_a_working_house_each_command_ends_as_the_table_says(reaching, place, completed, long) -> None:
    source = completed.model_copy(update={"cycle_id": "cycle-of-every-command", "run_id": "run-of-every-command"})
    store = Store.open(place.settings.store_url, migrate=True)
    store.record(source)
    store.close()
    values = {"cycle": source.cycle_id, "home": place.settings.home, "long": long, "strategy": SMALL_STRATEGY}
    for row in TABLE:
        ran = await asyncio.to_thread(reaching, "-o", "json", *filled(row, **values, name="every"))
        assert ran.code == row.working, (row.typed, ran.out, ran.err)
        assert ESCAPE not in ran.out + ran.err
        if row.working:
            problem(ran.out, "json")
            continue
        [found] = answers(ran.out, "json")
        TypeAdapter(row.answer).validate_json(json.dumps(found))
        if row.typed.startswith("fork"):
            await asyncio.to_thread(reaching, "status", found["cycle_id"], "--watch")


class Terminal:
    """Standard output that says it is a terminal."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def isatty(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("colour", [True, False])
def test_on_a_terminal_text_has_colours_unless_no_color_is_set(
    command, completed, tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], colour: bool
) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'home' / 'research.db'}", migrate=True)
    store.record(completed)
    store.close()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", Terminal(sys.stdout))
    ran = command("--address", "127.0.0.1:1", "show", completed.cycle_id)
    assert ran.code == 0
    assert (f"{ESCAPE}[32m" in ran.out or f"{ESCAPE}[33m" in ran.out or f"{ESCAPE}[1;33m" in ran.out) == colour
    assert completed.cycle_id in ran.out  # never cut


def test_no_line_of_a_list_of_commands_is_cut_at_80_columns(command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    groups = [(), *{path[:1] for path in commands(get_command(app)) if len(path) > 1}]
    for group in groups:
        ran = command(*group, "--help")
        assert (ran.code, [line for line in ran.out.splitlines() if line.endswith("...") and "[ARGS]" not in line]) == (
            0,
            [],
        )


def test_a_shell_is_told_how_words_go_on(
    command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_RESEARCH_COMPLETE", "complete_bash")
    for words, offered in (
        ("research sta", ["start", "status"]),
        ("research start --designer ", ["claude", "offline"]),
        ("research budget pau", ["pause"]),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
        with pytest.raises(SystemExit) as ended:
            command()
        assert (ended.value.code, capsys.readouterr().out.split()) == (0, offered)
