"""`research leaderboard`: who is best, by what, and of how many. No server is needed."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from client.report_figures import drawdown
from client.report_plots import kept
from domain.cycle import CycleRequest, DesignerKind, Fork, Phase
from domain.results import Interval, Verdict
from engine.statistics import expected_max_sharpe
from store.cycles import Store

from .conftest import Command
from .cycles import House

KINDS = {
    # name: (symbol, designer, verdict, Sharpe, excess low, return, drawdown, trades, trials known then)
    "early": ("EURUSD", "offline", Verdict.NEUTRAL, 1.2, 0.9, 0.10, 0.20, 80, 1),
    "best": ("EURUSD", "claude", Verdict.NEUTRAL, 2.0, 0.4, 0.30, 0.30, 12, 2),
    "flat": ("EURUSD", "offline", None, None, None, 0.0, 0.0, 0, 3),
    "other": ("AAPL", "offline", Verdict.POOR, 1.5, -0.5, -0.10, 0.10, 40, 1),
}


@pytest.fixture(scope="module")
def four(home: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose store has these four, and a fork that tested nothing anew."""
    root = tmp_path_factory.mktemp("board")
    real = home.cycles["cycle-real"]
    assert real.backtest
    assert real.assessment
    store = Store.open(f"sqlite:///{root / 'research.db'}", migrate=True)
    for name, (symbol, designer, verdict, sharpe, low, gain, fall, trades, trials) in KINDS.items():
        figures: dict[str, object] = {
            "sharpe_ratio": sharpe,
            "total_return": gain,
            "max_drawdown": fall,
            "total_trades": trades,
        }
        figures["trials"] = trials
        figures["excess_sharpe_interval"] = None if low is None else Interval(low=low, high=low + 2)
        figures["expected_max_sharpe"] = by_luck = expected_max_sharpe(trials, real.backtest.part.years)
        figures["deflated_low"] = None if low is None else low - by_luck
        request = CycleRequest(symbol=symbol, timeframe="1h", designer=DesignerKind(designer))
        found = {
            "cycle_id": f"cycle-{name}",
            "run_id": f"run-{name}",
            "request": request,
            "backtest": real.backtest.model_copy(update=figures),
            "assessment": real.assessment.model_copy(update={"verdict": verdict}) if verdict else None,
        }
        store.record(real.model_copy(update=found))
    origin = Fork(cycle_id="cycle-best", run_id="run-best", phase=Phase.ASSESSING)
    forked = CycleRequest(
        symbol="EURUSD", timeframe="1h", designer=DesignerKind.OFFLINE, strategy=real.strategy, fork=origin
    )
    store.record(real.model_copy(update={"cycle_id": "cycle-fork", "run_id": "run-fork", "request": forked}))
    store.close()
    return root


@pytest.fixture
def board(four: Path, command: Command) -> Command:
    """The command on that home."""
    return lambda *options: command("leaderboard", "--home", str(four), *options)


def order(ran) -> list[str]:
    return [row["cycle_id"].removeprefix("cycle-") for row in ran.json]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], ["early", "other", "best", "flat"]),
        (["--sort", "sharpe"], ["best", "other", "early", "flat"]),
        (["--sort", "return"], ["best", "early", "flat", "other"]),
        (["--sort", "drawdown"], ["flat", "other", "early", "best"]),
        (["--symbol", "eurusd", "--limit", "2"], ["early", "best"]),
        (["--timeframe", "1d"], []),
        (["--verdict", "poor"], ["other"]),
        (["--designer", "claude"], ["best"]),
        (["--min-trades", "40"], ["early", "other"]),
    ],
)
def test_backtests_are_ranked_and_filtered(board: Command, options: list[str], found: list[str]):
    assert order(board(*options, "-o", "json")) == found


def test_every_row_is_deflated_by_all_trials_that_are_known_now(board: Command):
    first = board("--symbol", "EURUSD", "-o", "json").json[0]

    assert (first["trial"], first["trials"]) == (1, 3)
    assert first["luck"] == pytest.approx(expected_max_sharpe(3, first["years"]))
    assert first["deflated_low"] == pytest.approx(0.9 - first["luck"])


def test_of_how_many_the_best_is_the_best_stands_below(board: Command):
    told = board("--sort", "sharpe").out
    by_luck = board("-o", "json").json[0]["luck"]
    assert f"planted_edge: best of 3 backtests on EURUSD 1h; luck alone would show a Sharpe of {by_luck:.1f}" in told
    assert "planted_edge: the only backtest on AAPL 1h" in told

    assert "best of those asked for among 3 backtests on EURUSD 1h" in board("--min-trades", "20").out


def test_as_jsonl_a_row_is_a_line(board: Command):
    assert len(board("-o", "jsonl").out.splitlines()) == 4


def test_where_there_is_no_store_yet_there_is_an_empty_list_and_a_note(command: Command, tmp_path: Path):
    nowhere = ("leaderboard", "--home", str(tmp_path / "nowhere"))
    ran = command(*nowhere)
    assert (ran.code, ran.out) == (0, "no such backtests yet\n")
    assert "the first cycle makes it" in ran.err
    assert command(*nowhere, "-o", "json").json == []
    assert not (tmp_path / "nowhere").exists()


def test_a_page_of_nothing_is_a_page(command: Command, tmp_path: Path):
    page = tmp_path / "board.html"
    ran = command("leaderboard", "--home", str(tmp_path / "nowhere"), "--html", str(page))
    assert ran.code == 0
    assert "There are no such backtests yet." in page.read_text()


def test_what_is_no_symbol_is_refused(command: Command):
    assert command("leaderboard", "--symbol", "../x").code == 2


def test_thinned_curves_keep_their_peaks_and_falls():
    values = [0.0] * 100_000
    values[31_234], values[77_777] = 5.0, -5.0
    places = kept(values, 400)
    assert len(places) <= 400
    assert {0, 31_234, 77_777, 99_999} <= set(places)
    assert drawdown([0.9, 1.2, 0.6]) == pytest.approx([-0.1, 0.0, -0.5])


def test_a_record_that_cannot_be_read_takes_nobodys_place(four: Path, tmp_path: Path, command: Command):
    shutil.copy(four / "research.db", tmp_path / "research.db")
    with closing(sqlite3.connect(tmp_path / "research.db")) as raw, raw:
        raw.execute("UPDATE cycles SET status = '{' WHERE cycle_id = 'cycle-best'")
    for sort, found in (("sharpe", ["other", "early"]), ("deflated", ["early", "other"])):
        assert (
            order(command("leaderboard", "--home", str(tmp_path), "--sort", sort, "--limit", "2", "-o", "json"))
            == found
        )
