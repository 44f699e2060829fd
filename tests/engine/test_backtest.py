"""A backtest trades what the model says on its own part of the bars, and the same every time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest

from domain.errors import ErrorCode, ResearchError
from domain.results import BacktestResult, PartName, TrainingResult
from domain.strategy import Strategy
from engine.backtest import run_backtest, signal_positions, targets_at_opens
from engine.bars import load_bars
from engine.interface import BacktestJob, CostOverride, Places, Progress, TrainJob
from engine.model import Model, load_model
from engine.splits import split_bars
from engine.statistics import among_trials
from engine.strategy_file import read_strategy
from engine.synthetic import write_bars
from engine.training import run_training

FINAL = PurePosixPath("cyc-1/backtest-cd34ef")
EVERY_SIGNAL = {"decisions": {"confidence_threshold": 0.0}}


@dataclass(frozen=True)
class Trained:
    """A trained model with all that a backtest of it needs."""

    job: BacktestJob
    places: Places
    training: TrainingResult

    def run(self, workdir: Path, **changes: object) -> BacktestResult:
        workdir.mkdir(parents=True)
        steps: list[Progress] = []
        result = run_backtest(self.job.model_copy(update=changes), self.places, workdir, FINAL, steps.append)
        assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
        assert steps[-1].fraction == 1.0
        return result

    def opened(self) -> tuple[Strategy, Model]:
        strategy = read_strategy(self.job.strategy, self.places)
        return strategy, load_model(self.places.artifacts / str(self.job.model_path), self.job.model_id)


@pytest.fixture
def trained(job: Callable[..., tuple[TrainJob, Places]]) -> Callable[..., Trained]:
    """Train the tests' small strategy on EURUSD and give the backtest job that follows."""

    def build(*changes: Mapping[str, Any], symbol: str = "EURUSD") -> Trained:
        train_job, places = job(*changes, symbol=symbol)
        final = PurePosixPath("cyc-1/training-ab12cd")
        (places.artifacts / final).mkdir(parents=True)
        training = run_training(train_job, places, places.artifacts / final, final, lambda _: None)
        wanted = BacktestJob(
            **train_job.model_dump(),
            model_path=training.model_path,
            model_id=training.model_id,
            data_sha256=training.data_sha256,
            trials=3,
        )
        return Trained(wanted, places, training)

    return build


def test_the_result_is_that_of_the_files_it_names(trained: Callable[..., Trained], tmp_path: Path) -> None:
    result = trained(EVERY_SIGNAL).run(tmp_path / "work")

    curves = pd.read_parquet(tmp_path / "work" / "equity.parquet")
    trades = pd.read_parquet(tmp_path / "work" / "trades.parquet")
    assert (result.equity_path, result.trades_path) == (str(FINAL / "equity.parquet"), str(FINAL / "trades.parquet"))
    assert list(curves) == ["time", "equity", "equity_gross", "buy_and_hold", "position"]
    assert result.total_trades == len(trades) > 5
    assert result.win_rate == pytest.approx((trades["profit"] > 0).mean())
    assert result.total_return == pytest.approx(curves["equity"].iloc[-1] - 1)
    assert result.total_return == pytest.approx(trades["profit"].sum())
    assert result.gross is not None
    assert result.gross.total_return == pytest.approx(curves["equity_gross"].iloc[-1] - 1)
    assert result.benchmark_return == pytest.approx(curves["buy_and_hold"].iloc[-1] - 1)
    assert result.exposure == pytest.approx((curves["position"].iloc[:-1] != 0).mean())
    assert result.max_drawdown == pytest.approx((1 - curves["equity"] / curves["equity"].cummax()).max())


def test_the_bars_traded_are_the_backtest_part_and_nothing_after(
    trained: Callable[..., Trained], tmp_path: Path
) -> None:
    setup = trained(EVERY_SIGNAL)

    result = setup.run(tmp_path / "work")

    part = next(part for part in setup.training.parts if part.name is PartName.BACKTEST)
    times = pd.read_parquet(tmp_path / "work" / "equity.parquet")["time"]
    assert result.part == part
    assert (times.iloc[0], times.iloc[-1], len(times)) == (part.start, part.end, part.bars)


def test_a_signal_at_a_close_is_filled_at_the_next_open(trained: Callable[..., Trained], tmp_path: Path) -> None:
    setup = trained(EVERY_SIGNAL)
    setup.run(tmp_path / "work")
    strategy, model = setup.opened()
    frame = load_bars("EURUSD", "1h", setup.places.data).frame
    part = split_bars(strategy, pd.DatetimeIndex(frame.index)).backtest

    held = signal_positions(strategy, model, "EURUSD", frame.iloc[: part.stop], part)

    trades = pd.read_parquet(tmp_path / "work" / "trades.parquet")
    first = int(np.flatnonzero(held)[0])
    assert trades["entry_time"].iloc[0] == frame.index[part.start + first + 1]
    assert trades["entry_price"].iloc[0] == frame["open"].iloc[part.start + first + 1]
    positions = pd.read_parquet(tmp_path / "work" / "equity.parquet")["position"].to_numpy()
    assert positions[0] == 0
    assert np.array_equal(positions[1:-1], held[:-2])


def test_another_future_leaves_every_earlier_signal_as_it_was(trained: Callable[..., Trained]) -> None:
    setup = trained(EVERY_SIGNAL)
    strategy, model = setup.opened()
    frame = load_bars("EURUSD", "1h", setup.places.data).frame
    part = split_bars(strategy, pd.DatetimeIndex(frame.index)).backtest
    before = signal_positions(strategy, model, "EURUSD", frame.iloc[: part.stop], part)

    for cut in (part.start + 1, part.start + 517, part.stop - 1):
        other = frame.copy()
        other.iloc[cut:] = other.iloc[cut:].to_numpy() * 1.7
        after = signal_positions(strategy, model, "EURUSD", other.iloc[: part.stop], part)
        assert np.array_equal(after[: cut - part.start], before[: cut - part.start])

    assert np.any(before)


def test_the_lockbox_changes_nothing(trained: Callable[..., Trained], tmp_path: Path) -> None:
    setup = trained(EVERY_SIGNAL)
    result = setup.run(tmp_path / "one")
    bars = load_bars("EURUSD", "1h", setup.places.data)
    lockbox = next(part for part in setup.training.parts if part.name is PartName.LOCKBOX)
    frame = bars.frame
    frame.loc[lockbox.start :] *= 3.0
    other = write_bars(type(bars)("EURUSD", "1h", bars.asset_class, "", frame), setup.places.data)

    again = setup.run(tmp_path / "two", data_sha256=other.sha256)

    assert other.sha256 != bars.sha256
    assert _figures(again) == _figures(result)


def test_equal_jobs_give_equal_figures_and_equal_files(trained: Callable[..., Trained], tmp_path: Path) -> None:
    setup = trained(EVERY_SIGNAL)

    results = [setup.run(tmp_path / name) for name in ("one", "two")]

    assert _figures(results[0]) == _figures(results[1])
    for name in ("equity.parquet", "trades.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_currency_pays_two_and_three_hundred_thousandths_on_every_fill(
    trained: Callable[..., Trained], tmp_path: Path
) -> None:
    result = trained(EVERY_SIGNAL).run(tmp_path / "work")

    assert (result.costs.commission, result.costs.half_spread) == (0.00002, 0.00003)
    assert result.costs.total == pytest.approx(2 * result.total_trades * 0.00005, rel=0.05)
    assert result.gross is not None
    assert result.turnover is not None
    assert result.gross.total_return > result.total_return
    assert result.turnover > result.total_trades


def test_costs_that_are_given_take_the_place_of_the_asset_classs(
    trained: Callable[..., Trained], tmp_path: Path
) -> None:
    setup = trained(EVERY_SIGNAL)

    free = setup.run(tmp_path / "free", costs=CostOverride(commission=0.0, half_spread=0.0))
    dear = setup.run(tmp_path / "dear", costs=CostOverride(half_spread=0.01))

    assert free.gross is not None
    assert dear.gross is not None
    assert (free.costs.total, free.total_return) == (0.0, free.gross.total_return)
    assert (dear.costs.commission, dear.costs.half_spread) == (0.00002, 0.01)
    assert dear.total_return < free.total_return == dear.gross.total_return


def test_more_trials_deflate_more_and_change_nothing_else(trained: Callable[..., Trained], tmp_path: Path) -> None:
    setup = trained(EVERY_SIGNAL)

    few, many = setup.run(tmp_path / "few", trials=2), setup.run(tmp_path / "many", trials=200)

    assert many.deflated_low is not None
    assert few.deflated_low is not None
    assert many.deflated_low < few.deflated_low
    assert many.excess_sharpe_interval == few.excess_sharpe_interval
    assert many.total_return == few.total_return
    later = among_trials(few, 200)
    assert (later.trials, later.total_return) == (200, few.total_return)
    assert later.expected_max_sharpe == pytest.approx(many.expected_max_sharpe)
    assert later.deflated_low == pytest.approx(many.deflated_low)
    assert many.deflated_sharpe is not None
    assert few.deflated_sharpe is not None
    assert many.deflated_sharpe < few.deflated_sharpe
    assert later.deflated_sharpe == pytest.approx(many.deflated_sharpe)
    assert among_trials(many, 2) == many


def test_a_model_too_unsure_to_trade_has_no_ratio_and_no_nan(trained: Callable[..., Trained], tmp_path: Path) -> None:
    result = trained({"decisions": {"confidence_threshold": 1.0}}).run(tmp_path / "work")

    assert (result.total_trades, result.exposure, result.total_return, result.costs.total) == (0, 0.0, 0.0, 0.0)
    assert (result.sharpe_ratio, result.win_rate, result.profit_factor, result.deflated_low) == (None,) * 4
    assert (result.probabilistic_sharpe, result.deflated_sharpe, result.luck_percentile, result.luck_draws) == (
        *(None, None, None),
        0,
    )
    assert [(year.name, year.trades, year.sharpe_ratio) for year in result.by_year] == [("2017", 0, None)]
    assert len(pd.read_parquet(tmp_path / "work" / "trades.parquet")) == 0


def test_a_strategy_that_may_not_go_short_is_never_short(trained: Callable[..., Trained], tmp_path: Path) -> None:
    trained({"decisions": {"confidence_threshold": 0.0, "allow_short_from_flat": False}}).run(tmp_path / "work")

    assert set(pd.read_parquet(tmp_path / "work" / "equity.parquet")["position"]) == {0, 1}


def test_a_regression_is_traded_too(
    trained: Callable[..., Trained], regression: Mapping[str, Any], tmp_path: Path
) -> None:
    result = trained(regression).run(tmp_path / "work")

    assert result.total_trades > 0


def test_bars_that_were_replaced_since_the_training_are_refused(
    trained: Callable[..., Trained], tmp_path: Path
) -> None:
    with pytest.raises(ResearchError, match="are not those that the model was trained on") as error:
        trained().run(tmp_path / "work", data_sha256="0" * 64)
    assert error.value.code is ErrorCode.DATA_UNAVAILABLE


def test_a_model_that_is_not_the_jobs_is_refused(trained: Callable[..., Trained], tmp_path: Path) -> None:
    with pytest.raises(ResearchError) as error:
        trained().run(tmp_path / "work", model_id="0" * 64)
    assert error.value.code is ErrorCode.BACKTEST_FAILED


def test_the_first_open_is_flat_and_the_last_close_is_never_traded() -> None:
    assert targets_at_opens(np.array([1, -1, 1], dtype=np.int8)).tolist() == [0, 1, -1]


def test_years_and_regimes_are_each_the_whole_backtest_divided(trained: Callable[..., Trained], tmp_path: Path) -> None:
    result = trained(EVERY_SIGNAL).run(tmp_path / "work")

    assert result.part.bars
    assert len(result.by_regime) > 1
    for stretches in (result.by_year, result.by_regime):
        assert sum(one.bars for one in stretches) == result.part.bars - 1
        assert sum(one.trades for one in stretches) == result.total_trades
        assert np.prod([1 + one.total_return for one in stretches]) - 1 == pytest.approx(result.total_return)
        exposed = sum(one.exposure * one.bars for one in stretches)
        assert exposed / (result.part.bars - 1) == pytest.approx(result.exposure)
    assert result.regime_rule
    assert result.luck_draws == 200
    assert result.luck_percentile is not None


def test_a_volume_filter_trades_less_and_bars_without_volume_are_refused_before_they_are_trained_on(
    trained: Callable[..., Trained], job: Callable[..., tuple[TrainJob, Places]], tmp_path: Path
) -> None:
    filtered = {"decisions": {"confidence_threshold": 0.0, "filters": {"volume_filter": True}}}
    setup = trained(filtered)
    strategy, model = setup.opened()
    bars = load_bars("EURUSD", "1h", setup.places.data)
    part = split_bars(strategy, pd.DatetimeIndex(bars.frame.index)).backtest

    held = signal_positions(strategy, model, "EURUSD", bars.frame.iloc[: part.stop], part)

    volume = bars.frame["volume"]
    loud = (volume >= volume.rolling(20).mean())[part].to_numpy()
    changed = np.diff(held, prepend=np.int8(0)) != 0
    assert changed.sum() > 5
    assert loud[changed].all()
    write_bars(type(bars)("EURUSD", "1h", bars.asset_class, "", bars.frame.assign(volume=0.0)), setup.places.data)
    train_job, places = job(filtered)
    with pytest.raises(ResearchError, match=r"volume_filter: these bars carry no volume") as error:
        run_training(train_job, places, tmp_path, FINAL, lambda _: None)
    assert error.value.code is ErrorCode.DATA_UNAVAILABLE


def test_several_symbols_are_trained_and_traded_together_and_need_all_their_bars(
    trained: Callable[..., Trained], job: Callable[..., tuple[TrainJob, Places]], tmp_path: Path
) -> None:
    block = {"mode": "multi_symbol", "list": ["PLANTED", "PLANTED-SHUFFLED"], "symbol": None}
    setup = trained(EVERY_SIGNAL, {"training_data": {"symbols": block}}, symbol="PLANTED")
    result = setup.run(tmp_path / "work")
    trades = pd.read_parquet(tmp_path / "work" / "trades.parquet")
    assert set(trades["symbol"]) == {"PLANTED", "PLANTED-SHUFFLED"}
    assert result.total_trades == len(trades)
    assert 1 + trades["profit"].sum() == pytest.approx(1 + result.total_return)
    assert setup.training.bars_used
    train_job, places = job({"training_data": {"symbols": block}}, symbol="GBPUSD")
    with pytest.raises(ResearchError, match=r"wants GBPUSD, but .* is made for PLANTED, PLANTED-SHUFFLED, all at once"):
        run_training(train_job, places, tmp_path, FINAL, lambda _: None)


def _figures(result: BacktestResult) -> dict[str, object]:
    return result.model_dump(exclude={"seconds", "data_sha256"})
