"""The instrument works: it finds a planted edge after costs, and none in the same bars in random order."""

import hashlib
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from domain.cycle import StrategyRef
from domain.gates import GateThresholds, backtest_gate, training_gate
from domain.results import Assessment, BacktestResult, TrainingResult, Verdict
from domain.strategy import load_strategy, trainability
from domain.verdict import assess
from engine.backtest import run_backtest
from engine.bars import SAMPLES, Bars, file_name, load_bars
from engine.interface import BacktestJob, Places, TrainJob
from engine.synthetic import (
    STRATEGY_FILE,
    SYMBOL,
    TIMEFRAME,
    TWIN_SEED,
    TWIN_SYMBOL,
    file_content,
    planted_bars,
    shuffled_twin,
    write_bars,
)
from engine.training import run_training


@pytest.fixture(scope="module")
def planted() -> Bars:
    return planted_bars()


def _cycle(places: Places, symbol: str, seed: int = 0) -> tuple[TrainingResult, BacktestResult, Assessment]:
    """Training, gates, backtest and verdict; a gate's no is not heeded, so that the verdict has to stand alone."""
    content = STRATEGY_FILE.read_bytes()
    places.strategies.mkdir(parents=True, exist_ok=True)
    (places.strategies / STRATEGY_FILE.name).write_bytes(content)
    ref = StrategyRef(name=STRATEGY_FILE.stem, sha256=hashlib.sha256(content).hexdigest(), path=STRATEGY_FILE.name)
    final = PurePosixPath(f"cyc-{symbol}-{seed}")
    workdir = places.artifacts / final
    workdir.mkdir(parents=True)
    train_job = TrainJob(cycle_id="cyc-1", strategy=ref, symbol=symbol, timeframe=TIMEFRAME, seed=seed)
    training = run_training(train_job, places, workdir, final, lambda _: None)
    test_job = BacktestJob(
        **train_job.model_dump(),
        model_path=training.model_path,
        model_id=training.model_id,
        data_sha256=training.data_sha256,
        trials=1,
    )
    backtest = run_backtest(test_job, places, workdir, final, lambda _: None)
    bounds = GateThresholds()
    gates = (training_gate(training, bounds), backtest_gate(backtest, bounds))
    return training, backtest, assess(training, backtest, gates)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(artifacts=tmp_path / "artifacts", strategies=tmp_path / "strategies", data=tmp_path / "data")


def test_the_bundled_series_are_what_the_generator_makes(planted: Bars) -> None:
    twin = shuffled_twin(planted, TWIN_SEED)

    assert (SAMPLES / file_name(SYMBOL, TIMEFRAME)).read_bytes() == file_content(planted)
    assert (SAMPLES / file_name(TWIN_SYMBOL, TIMEFRAME)).read_bytes() == file_content(twin)


def test_synthetic_bars_say_everywhere_that_they_are(tmp_path: Path) -> None:
    for symbol in (SYMBOL, TWIN_SYMBOL):
        bars = load_bars(symbol, TIMEFRAME, tmp_path)
        assert bars.synthetic
        assert bars.source.endswith("made by engine/synthetic.py")
    assert "**synthetic**" in (SAMPLES / "NOTICE.md").read_text()


def test_a_twin_has_the_same_bars_in_another_order(planted: Bars) -> None:
    twin = shuffled_twin(planted, seed=7)

    def returns(bars: Bars) -> np.ndarray:
        return np.sort((bars.frame["close"] / bars.frame["open"]).to_numpy())

    assert np.abs(returns(twin) - returns(planted)).max() < 3e-5
    assert sorted(twin.frame["volume"]) == sorted(planted.frame["volume"])
    assert twin.frame.index.equals(planted.frame.index)
    assert twin.frame["close"].iloc[-1] == pytest.approx(planted.frame["close"].iloc[-1], abs=2e-5)


def test_the_edge_lies_in_the_order_of_the_bars_and_the_twin_has_lost_it(planted: Bars) -> None:
    def momentum(bars: Bars) -> float:
        returns = np.diff(np.log(bars.frame["close"].to_numpy()))
        recent = np.convolve(returns, np.ones(20), mode="valid")
        return float(np.corrcoef(recent[:-1], returns[20:])[0, 1])

    assert momentum(planted) > 0.1
    assert all(abs(momentum(shuffled_twin(planted, seed))) < 0.05 for seed in range(5))


def test_equal_seeds_make_equal_bars_and_other_seeds_others(planted: Bars) -> None:
    assert planted_bars().sha256 == planted.sha256
    assert planted_bars(seed=5, bars=500).sha256 != planted_bars(seed=6, bars=500).sha256
    assert shuffled_twin(planted, 1).sha256 != shuffled_twin(planted, 2).sha256


def test_synthetic_prices_keep_their_order_within_a_bar(planted: Bars) -> None:
    for bars in (planted, shuffled_twin(planted, 3)):
        frame = bars.frame
        assert (frame["low"] <= frame[["open", "close"]].min(axis=1)).all()
        assert (frame["high"] >= frame[["open", "close"]].max(axis=1)).all()


def test_a_twin_can_be_made_of_real_bars_too(tmp_path: Path) -> None:
    real = load_bars("EURUSD", "1h", tmp_path)

    twin = write_bars(shuffled_twin(real, 1), tmp_path)

    assert (twin.symbol, twin.synthetic, len(twin.frame)) == ("EURUSD-SHUFFLED", True, len(real.frame))


def test_the_control_strategy_is_valid_and_trainable() -> None:
    loaded = load_strategy(STRATEGY_FILE.read_text())

    assert trainability(loaded.strategy).trainable
    assert loaded.ignored == ()


def test_the_planted_edge_is_found_and_survives_the_costs(places: Places) -> None:
    training, backtest, assessment = _cycle(places, SYMBOL)

    bounds = GateThresholds()
    assert training_gate(training, bounds).passed
    assert backtest_gate(backtest, bounds).passed
    assert assessment.verdict is Verdict.PROMISING
    assert (backtest.costs.total or 0) > 0.01


def test_the_bundled_twin_is_not_promising(places: Places) -> None:
    _, _, assessment = _cycle(places, TWIN_SYMBOL)

    assert assessment.verdict is not Verdict.PROMISING


def test_of_many_shuffled_twins_hardly_one_is_promising(
    places: Places, planted: Bars, request: pytest.FixtureRequest
) -> None:
    twins = 200 if request.config.getoption("--chaos") else 4

    promising = [
        seed
        for seed in range(twins)
        if _cycle(places, write_bars(shuffled_twin(planted, seed), places.data).symbol, seed)[2].verdict
        is Verdict.PROMISING
    ]

    assert len(promising) <= 0.05 * twins
