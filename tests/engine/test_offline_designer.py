"""The offline designer: same seed and memory, same strategy; it learns, and sees nothing that it should not."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.cycle import MemorySnapshot, Outcome, TrialRecord
from domain.errors import ErrorCode, ResearchError
from domain.strategy import (
    ENGINE_CAPABILITIES,
    ZigzagLabels,
    dump_strategy,
    load_strategy,
    strategy_hash,
    trainability,
)
from engine.bars import Bars, load_bars
from engine.design_space import LAYERS, OSCILLATORS, TRENDS, VOLATILITIES, Choice, Ground, strategy_of
from engine.offline_designer import MAX_DRAWS, MIN_CLASS_SHARE, Proposal, merit, propose, smallest_traded_share

EMPTY = MemorySnapshot(id="m0-00000000")
NO_IMPORTS = Path("/nonexistent")


@pytest.fixture(scope="module")
def eurusd() -> Bars:
    """A year of hourly bars."""
    return load_bars("EURUSD", "1h", NO_IMPORTS)


def design(
    bars: Bars,
    seed: int = 0,
    memory: MemorySnapshot = EMPTY,
    is_known: Callable[[str], bool] = lambda _: False,
) -> Proposal:
    return propose(symbol=bars.symbol, timeframe=bars.timeframe, seed=seed, memory=memory, bars=bars, is_known=is_known)


def trial(number: int, choice: Choice, *, passed: bool, skill: float) -> TrialRecord:
    """What the store would remember of a cycle with this choice."""
    return TrialRecord(
        cycle_id=f"cycle-{number}",
        strategy_hash=f"{number:064d}",
        parameters=choice.model_dump_json(),
        symbol="EURUSD",
        timeframe="1h",
        outcome=Outcome.COMPLETED if passed else Outcome.REJECTED,
        validation_accuracy=0.4,
        validation_skill=skill,
        training_gate_passed=passed,
        backtest_gate_passed=True if passed else None,
    )


def test_the_same_seed_and_snapshot_give_the_same_strategy_in_any_process(eurusd: Bars) -> None:
    script = (
        "from pathlib import Path\n"
        "from domain.cycle import MemorySnapshot\n"
        "from engine.bars import load_bars\n"
        "from engine.offline_designer import propose\n"
        "bars = load_bars('EURUSD', '1h', Path('/nonexistent'))\n"
        "memory = MemorySnapshot(id='m0-00000000')\n"
        "found = propose(symbol='EURUSD', timeframe='1h', seed=3, memory=memory, bars=bars, is_known=lambda _: False)\n"
        "print(found.model_dump_json())"
    )
    elsewhere = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(elsewhere.stdout) == design(eurusd, seed=3).model_dump()


def test_other_seeds_and_other_snapshots_give_other_strategies(eurusd: Bars) -> None:
    names = [design(eurusd, seed=seed).name for seed in range(20)]
    assert len(set(names)) == 20
    assert design(eurusd, seed=0, memory=MemorySnapshot(id="m0-00000001")).name not in names


@pytest.mark.parametrize(("symbol", "timeframe"), [("EURUSD", "1h"), ("AAPL", "1h"), ("AAPL", "1d"), ("PLANTED", "1h")])
def test_every_proposal_is_valid_trainable_and_balanced(symbol: str, timeframe: str) -> None:
    bars = load_bars(symbol, timeframe, NO_IMPORTS)
    for seed in range(12):
        proposal = design(bars, seed=seed)
        loaded = load_strategy(proposal.strategy_text)
        assert (loaded.ignored, loaded.notes) == ((), ())
        assert trainability(loaded.strategy).trainable
        assert smallest_traded_share(loaded.strategy, bars) >= MIN_CLASS_SHARE
        assert proposal.name == loaded.strategy.name == f"offline_{strategy_hash(loaded.strategy)[:8]}"
        assert proposal.hypothesis == loaded.strategy.hypothesis
        assert f"On {symbol} {timeframe} " in proposal.hypothesis
        assert loaded.strategy.training_data.symbols == (symbol,)
        Choice.model_validate_json(proposal.parameters_json)


def test_labels_that_leave_validation_nothing_are_refused(eurusd: Bars) -> None:
    plain = load_strategy(design(eurusd, seed=0).strategy_text).strategy
    labels = ZigzagLabels(zigzag_threshold=0.4)
    wide = plain.model_copy(update={"training": plain.training.model_copy(update={"labels": labels})})
    with pytest.raises(
        ResearchError, match="they leave 0 bars of validation with a label, which is too little"
    ) as refused:
        smallest_traded_share(wide, eurusd)
    assert refused.value.code is ErrorCode.INVALID_STRATEGY


def test_a_strategy_that_was_tried_is_not_proposed_again(eurusd: Bars) -> None:
    first = design(eurusd)
    tried = strategy_hash(load_strategy(first.strategy_text).strategy)
    second = design(eurusd, is_known=lambda digest: digest == tried)
    assert second.name != first.name
    record = TrialRecord(
        cycle_id="c", strategy_hash=tried, symbol="EURUSD", timeframe="1h", outcome=Outcome.REJECTED, reason="no skill"
    )
    assert design(eurusd, memory=EMPTY.model_copy(update={"trials": (record,)})) == second


def test_with_everything_tried_it_says_so(eurusd: Bars) -> None:
    with pytest.raises(ResearchError, match=rf"no new strategy for EURUSD 1h in {MAX_DRAWS} draws") as refused:
        design(eurusd, is_known=lambda _: True)
    assert refused.value.code is ErrorCode.DESIGN_INVALID


def test_it_learns_which_labels_pass_the_gates(eurusd: Bars) -> None:
    seen = [Choice.model_validate_json(design(eurusd, seed=seed).parameters_json) for seed in range(40)]
    assert {choice.label for choice in seen} == {"zigzag", "forward_return"}
    trials = tuple(
        trial(number, choice, passed=choice.label == "zigzag", skill=0.1 if choice.label == "zigzag" else 0.0)
        for number, choice in enumerate(seen)
    )
    after = [
        Choice.model_validate_json(
            design(eurusd, seed=seed, memory=MemorySnapshot(id="m40-00000000", trials=trials)).parameters_json
        )
        for seed in range(20)
    ]
    assert sum(choice.label == "zigzag" for choice in after) >= 16


def test_nothing_after_the_train_part_changes_a_design(eurusd: Bars) -> None:
    half = len(eurusd.frame) // 2
    changed = eurusd.frame.copy()
    changed.iloc[half:] *= np.linspace(1.0, 3.0, len(changed) - half)[:, None]
    other = replace(eurusd, frame=changed, sha256="0" * 64)
    assert [design(other, seed=seed) for seed in range(8)] == [design(eurusd, seed=seed) for seed in range(8)]


@pytest.mark.parametrize(
    "parameters", [None, "", "no json", "[]", "{}", '{"label": "zigzag"}', '{"label": "__import__"}', "9" * 100_000]
)
def test_memory_that_is_not_its_own_is_passed_over(eurusd: Bars, parameters: str | None) -> None:
    record = TrialRecord(
        cycle_id="c",
        strategy_hash="f" * 64,
        parameters=parameters,
        symbol="EURUSD",
        timeframe="1h",
        outcome=Outcome.COMPLETED,
        validation_skill=0.5,
        training_gate_passed=True,
    )
    assert design(eurusd, memory=EMPTY.model_copy(update={"trials": (record,)})) == design(eurusd)


def test_a_gate_passed_counts_more_than_any_skill() -> None:
    record = TrialRecord(
        cycle_id="c", strategy_hash="f" * 64, symbol="EURUSD", timeframe="1h", outcome=Outcome.REJECTED
    )
    told = [
        (None, None, None),
        (None, 0.5, None),
        (False, 0.01, None),
        (False, 0.3, None),
        (True, 0.02, False),
        (True, 0.02, True),
    ]
    merits = [
        merit(
            record.model_copy(
                update={"training_gate_passed": gate, "validation_skill": skill, "backtest_gate_passed": backtest}
            )
        )
        for gate, skill, backtest in told
    ]
    assert merits == [None, None, 0.01, 0.3, 1.02, 2.02]


def test_too_few_bars_are_named_with_how_many_it_takes(eurusd: Bars) -> None:
    with pytest.raises(ResearchError, match="needs at least 736 bars; EURUSD 1h has 500") as refused:
        design(replace(eurusd, frame=eurusd.frame.iloc[:500]))
    assert refused.value.code is ErrorCode.DATA_UNAVAILABLE


def test_the_fewest_bars_are_enough(eurusd: Bars) -> None:
    assert design(replace(eurusd, frame=eurusd.frame.iloc[:736])).name.startswith("offline_")


def test_bars_that_stand_still_are_refused(eurusd: Bars) -> None:
    still = pd.DataFrame(1.1, index=eurusd.frame.index, columns=eurusd.frame.columns)
    with pytest.raises(ResearchError, match="do not move in train") as refused:
        design(replace(eurusd, frame=still))
    assert refused.value.code is ErrorCode.DATA_UNAVAILABLE


def test_importing_the_designer_does_not_import_the_search() -> None:
    script = "import sys, engine.offline_designer; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0


ENGINE = replace(ENGINE_CAPABILITIES, input_transforms=frozenset({"price_ratio"}))
"""All that the engine's own features compute."""

_CHOICES = st.builds(
    Choice,
    label=st.sampled_from(("zigzag", "forward_return")),
    zigzag_multiple=st.floats(6, 40),
    horizon=st.integers(6, 48),
    trend=st.sampled_from(TRENDS),
    trend_period=st.integers(10, 100),
    oscillator=st.sampled_from(OSCILLATORS),
    oscillator_period=st.integers(7, 60),
    volatility=st.sampled_from(VOLATILITIES),
    volatility_period=st.integers(10, 60),
    oscillator_input=st.sampled_from(("raw", "fuzzy")),
    membership=st.sampled_from(("triangular", "gaussian")),
    layers=st.sampled_from(tuple(LAYERS)),
    activation=st.sampled_from(("relu", "tanh")),
    dropout=st.floats(0, 0.4),
    learning_rate=st.floats(0.0005, 0.02),
    focal=st.booleans(),
    confidence=st.floats(0.35, 0.7),
    separation=st.integers(4, 72),
    edge_multiple=st.floats(0, 4),
)


@settings(max_examples=60, deadline=None)
@given(choice=_CHOICES)
def test_every_point_of_the_space_is_a_trainable_strategy_that_survives_its_file(choice: Choice) -> None:
    bars = load_bars("EURUSD", "1h", NO_IMPORTS)
    ground = Ground(bars.symbol, bars.timeframe, bars.asset_class, bars.frame.iloc[:3000])
    strategy = strategy_of(choice, ground, "one")
    assert trainability(strategy, ENGINE).lacks == ()
    assert load_strategy(dump_strategy(strategy)).strategy == strategy
    assert Choice.model_validate_json(choice.model_dump_json()) == choice
