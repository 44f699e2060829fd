"""Hypotheses: raised by one cycle, settled by later ones, once each, and told as of any earlier state."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

from domain.cycle import CycleStatus
from domain.errors import ErrorCode, ResearchError
from domain.results import (
    OPEN_STATUSES,
    Assessment,
    BacktestResult,
    Hypothesis,
    HypothesisStatus,
    Settlement,
    Verdict,
)
from store import database
from store.cycles import Store
from store.strategies import DesignFacts

MakeCycle = Callable[..., CycleStatus]
MakeFacts = Callable[[str], DesignFacts]


def saying(*settled: tuple[str, HypothesisStatus], raised: tuple[str, ...] = ()) -> Assessment:
    """An assessment that says this of hypotheses."""
    return Assessment(
        verdict=Verdict.NEUTRAL,
        strengths=("It gained.",),
        weaknesses=("Once.",),
        hypotheses=tuple(Hypothesis(text=text, rationale="It suggests itself.") for text in raised),
        settled=tuple(Settlement(hypothesis_id=each, status=status, why="The figures.") for each, status in settled),
    )


def statuses(store: Store) -> dict[str, tuple[str, str | None]]:
    return {h.id: (h.status.value, h.settled_by) for h in store.hypotheses()}


def test_a_later_cycle_settles_what_an_earlier_one_raised(store: Store, assessed: MakeCycle) -> None:
    store.record(assessed("raises"))
    store.record(assessed("settles", assessment=saying(("h1", HypothesisStatus.REFUTED))))
    assert statuses(store) == {"h1": ("refuted", "settles"), "h2": ("untested", None)}
    (found,) = store.hypotheses(ids=["h1"])
    assert (found.raised_by, found.why, found.symbol, found.timeframe) == ("raises", "The figures.", "EURUSD", "1h")


def test_a_cycle_that_is_recorded_twice_settles_once(store: Store, assessed: MakeCycle) -> None:
    store.record(assessed("raises"))
    settles = assessed("settles", assessment=saying(("h1", HypothesisStatus.INCONCLUSIVE), raised=("Another one.",)))
    assert [store.record(settles), store.record(settles)] == [True, False]
    assert statuses(store) == {"h1": ("inconclusive", "settles"), "h2": ("untested", None), "h3": ("untested", None)}


def test_what_is_inconclusive_can_be_settled_later_and_what_is_settled_stays(store: Store, assessed: MakeCycle) -> None:
    store.record(assessed("raises"))
    for cycle_id, status in (
        ("first", HypothesisStatus.INCONCLUSIVE),
        ("second", HypothesisStatus.VALIDATED),
        ("third", HypothesisStatus.REFUTED),
    ):
        store.record(assessed(cycle_id, assessment=saying(("h1", status))))
    assert statuses(store)["h1"] == ("validated", "second")


def test_a_cycle_settles_neither_its_own_hypotheses_nor_those_that_there_are_not(
    store: Store, assessed: MakeCycle
) -> None:
    own = saying(("h1", HypothesisStatus.VALIDATED), ("h77", HypothesisStatus.VALIDATED), raised=("Its own.",))
    store.record(assessed("raises", assessment=own))
    assert statuses(store) == {"h1": ("untested", None)}


def test_hypotheses_are_told_as_of_an_earlier_snapshot(store: Store, assessed: MakeCycle, facts: MakeFacts) -> None:
    store.record(assessed("raises"), facts("1" * 64))
    then = store.snapshot("EURUSD", "1h").id
    store.record(assessed("settles", assessment=saying(("h1", HypothesisStatus.VALIDATED), raised=("New.",))))
    assert [h.status for h in store.hypotheses(ids=["h1"], up_to=then)] == [HypothesisStatus.UNTESTED]
    assert [h.id for h in store.open_hypotheses("EURUSD", then)] == ["h2", "h1"]
    assert [h.id for h in store.hypotheses("EURUSD", OPEN_STATUSES)] == ["h3", "h2"]


def test_hypotheses_are_found_by_the_strategy_that_raised_them(
    store: Store, assessed: MakeCycle, facts: MakeFacts
) -> None:
    store.record(assessed("a"), facts("1" * 64))
    store.record(assessed("b"), facts("2" * 64))
    assert {h.raised_by for h in store.hypotheses(strategy_hash="1" * 64)} == {"a"}


def test_a_designer_reads_no_rationale_and_no_figure_of_the_backtest(
    store: Store, assessed: MakeCycle, backtest: BacktestResult
) -> None:
    found = backtest.model_copy(update={"sharpe_ratio": 1.2345})
    text = "Above 1.23 with RSI 37 it gains."
    store.record(assessed("a", backtest=found, assessment=saying(raised=(text,))))
    (told,) = store.open_hypotheses("EURUSD", "m1-00000000")
    assert told.text == "Above [figure of the backtest] with RSI 37 it gains."
    assert store.hypotheses("EURUSD")[0].text == text


def test_nul_in_what_an_assessor_says_is_kept_out_of_text_columns(store: Store, assessed: MakeCycle) -> None:
    store.record(assessed("raises", assessment=saying(raised=("It\0gains.",))))
    assert store.hypotheses()[0].text == "It\N{REPLACEMENT CHARACTER}gains."


def test_a_store_of_the_first_schema_keeps_its_hypotheses_untested(url: str, assessed: MakeCycle) -> None:
    _make_with_the_first_schema(url)
    store = Store.open(url, migrate=True)
    assert [(h.id, h.text, h.status) for h in store.hypotheses("EURUSD")] == [
        ("h1", "It gains on AAPL.", HypothesisStatus.UNTESTED)
    ]
    store.record(assessed("settles", assessment=saying(("h1", HypothesisStatus.VALIDATED), raised=("New.",))))
    assert statuses(store) == {"h1": ("validated", "settles"), "h2": ("untested", None)}
    store.close()


def _make_with_the_first_schema(url: str) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True)
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    engine = database.connect(url)
    with database.writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    values: dict[str, Any] = {
        "run_id": "old",
        "cycle_id": "cycle-old",
        "record_version": 1,
        "symbol": "EURUSD",
        "timeframe": "1h",
        "designer": "offline",
        "seed": 0,
        "outcome": "completed",
        "backtested": True,
        "tokens": 0,
        "cost_usd": "0",
        "started_at": "2026-05-04 12:00:00.000000",
        "status": "{}",
    }
    with sqlite3.connect(path) as raw:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        raw.execute(f"INSERT INTO cycles ({names}) VALUES ({marks})", tuple(values.values()))
        raw.execute("INSERT INTO hypotheses VALUES (1, 1, 1, 'It gains on AAPL.', 'Once.', 'untested')")


def test_experiments_tell_nothing_of_a_backtest_and_precedents_do(
    store: Store, assessed: MakeCycle, facts: MakeFacts
) -> None:
    store.record(assessed("a"), facts("1" * 64))
    now = store.snapshot("EURUSD", "1h").id
    (experiment,), detail = store.experiments("EURUSD", "1h", now), store.experiment("a", now)
    assert detail is not None
    told = experiment.model_dump_json() + detail.model_dump_json()
    assert "0.7310585786300049" not in told
    assert "neutral" not in told
    assert detail.training is not None
    (precedent,) = store.precedents("EURUSD", "another", now)
    assert (precedent.sharpe_ratio, precedent.verdict) == (0.7310585786300049, Verdict.NEUTRAL)
    assert store.precedents("EURUSD", "a", now) == ()


def test_experiments_are_of_their_snapshot_and_in_the_order_asked_for(
    store: Store, assessed: MakeCycle, facts: MakeFacts
) -> None:
    skilled = assessed().training
    assert skilled is not None
    store.record(assessed("best", training=skilled.model_copy(update={"validation_accuracy": 0.9})), facts("1" * 64))
    store.record(assessed("second"), facts("2" * 64))
    then = store.snapshot("EURUSD", "1h").id
    store.record(assessed("later"), facts("3" * 64))
    assert [e.trial.cycle_id for e in store.experiments("EURUSD", "1h", then)] == ["second", "best"]
    assert [e.trial.cycle_id for e in store.experiments("EURUSD", order="best_skill", limit=1)] == ["best"]
    assert store.experiment("later", then) is None


def test_a_record_that_was_changed_from_outside_is_refused_by_name_and_left_out_of_many(
    store: Store, url: str, assessed: MakeCycle, facts: MakeFacts, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "ab":
        store.record(assessed(name), facts(name * 64))
    with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
        changed = "status = json_set(status, '$.training', 3, '$.backtest', 4), verdict = 'splendid'"
        raw.execute(f"UPDATE cycles SET {changed} WHERE cycle_id = 'a'")
    with pytest.raises(ResearchError, match=r"the record of cycle a .* cannot be read") as refused:
        store.experiment("a")
    assert refused.value.code is ErrorCode.STORE_UNAVAILABLE
    now = store.snapshot("EURUSD", "1h").id
    assert [told.id for told in store.open_hypotheses("EURUSD", now)] == ["h4", "h3"]
    assert [found.experiment.trial.cycle_id for found in store.precedents("EURUSD", "another", now)] == ["b"]
    assert "left out: the hypothesis h1 of cycle a in the store cannot be read" in caplog.text
    assert "left out: the record of cycle a (row 1) in the store cannot be read" in caplog.text
