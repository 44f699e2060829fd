"""Memory snapshots: an id names one state of the store for good, and no figure of a backtest is in it."""

import re
from collections.abc import Callable

import pytest

from domain.cycle import CycleStatus, Outcome
from domain.errors import ErrorCode, ResearchError
from domain.gates import GateThresholds, backtest_gate
from domain.results import BacktestResult
from store.cycles import Store
from store.strategies import DesignFacts

MakeCycle = Callable[..., CycleStatus]
MakeFacts = Callable[[str], DesignFacts]


def test_an_empty_store_has_a_snapshot_of_its_own_for_each_symbol(store: Store) -> None:
    eurusd, aapl = store.snapshot("EURUSD", "1h"), store.snapshot("AAPL", "1h")
    assert re.fullmatch(r"m0-[0-9a-f]{8}", eurusd.id)
    assert eurusd.trials == ()
    assert eurusd.id != aapl.id


def test_an_earlier_state_is_given_again_exactly(store: Store, ended: MakeCycle, facts: MakeFacts) -> None:
    store.record(ended("a"), facts("1" * 64))
    store.record(ended("b"), facts("2" * 64))
    earlier = store.snapshot("EURUSD", "1h")
    store.record(ended("c"), facts("3" * 64))
    later = store.snapshot("EURUSD", "1h")
    assert [trial.cycle_id for trial in later.trials] == ["a", "b", "c"]
    assert later.id != earlier.id
    assert store.snapshot("EURUSD", "1h", up_to=earlier.id) == earlier
    assert store.snapshot("EURUSD", "1h", up_to=later.id) == later


def test_cycles_on_other_bars_do_not_change_a_snapshot(store: Store, ended: MakeCycle, facts: MakeFacts) -> None:
    store.record(ended("a"), facts("1" * 64))
    before = store.snapshot("EURUSD", "1h")
    store.record(ended("b", symbol="AAPL"), facts("2" * 64))
    assert store.snapshot("EURUSD", "1h") == before


def test_cycles_that_say_nothing_about_a_design_are_not_remembered(
    store: Store, ended: MakeCycle, facts: MakeFacts
) -> None:
    store.record(ended("cancelled", outcome=Outcome.CANCELLED), facts("1" * 64))
    store.record(ended("refused", outcome=Outcome.REFUSED))
    store.record(ended("without a design"))
    store.record(ended("failed", outcome=Outcome.FAILED), facts("2" * 64))
    assert [trial.cycle_id for trial in store.snapshot("EURUSD", "1h").trials] == ["failed"]


def test_a_trial_tells_validation_and_gates_and_the_designers_parameters(
    store: Store, assessed: MakeCycle, facts: MakeFacts
) -> None:
    store.record(assessed(), facts("1" * 64))
    (trial,) = store.snapshot("EURUSD", "1h").trials
    assert trial.strategy_hash == "1" * 64
    assert trial.parameters == '{"label":"zigzag"}'
    assert (trial.training_gate_passed, trial.backtest_gate_passed) == (True, True)
    assert trial.validation_accuracy == 0.45
    assert trial.validation_skill == pytest.approx(0.45 - 1 / 3)


def test_no_figure_of_the_backtest_reaches_a_designer(
    store: Store, assessed: MakeCycle, backtest: BacktestResult, facts: MakeFacts
) -> None:
    losing = backtest.model_copy(update={"sharpe_ratio": -1.2345, "max_drawdown": 0.4567})
    gate = backtest_gate(losing, GateThresholds())
    whole = assessed()
    store.record(
        assessed(
            outcome=Outcome.REJECTED,
            assessment=None,
            backtest=losing,
            gates=(whole.gates[0], gate),
            reason=f"the backtest gate: {gate.reason}",
        ),
        facts("1" * 64),
    )
    snapshot = store.snapshot("EURUSD", "1h")
    assert snapshot.trials[0].backtest_gate_passed is False
    told = snapshot.model_dump_json()
    assert "1.23" not in told
    assert "0.45" in told
    assert "0.456" not in told


@pytest.mark.parametrize("asked", ["m1-00000000", "m99-00000000", "latest", "m1-xyz", "m-1-00000000", "m1-0000000g"])
def test_a_snapshot_that_the_store_cannot_give_is_refused(
    store: Store, ended: MakeCycle, facts: MakeFacts, asked: str
) -> None:
    store.record(ended(), facts("1" * 64))
    with pytest.raises(ResearchError, match="memory snapshot") as refused:
        store.snapshot("EURUSD", "1h", up_to=asked)
    assert refused.value.code is ErrorCode.DATA_UNAVAILABLE
