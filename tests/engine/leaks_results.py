"""Leaks in what is learnt from and what is traded: parts, decisions, fills, and the doubt about a result."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from domain.strategy import Strategy
from engine import backtest, book, signals, splits, statistics, statistics_luck, statistics_stretches
from engine.splits import Split
from tests.engine.planting import Leak, Plant, of_next, replace_in_engine

Column = NDArray[np.float64]

# Where the parts end.


@dataclass(frozen=True)
class _Moved(Split):
    """Parts that are not where they are said to be; labels of train and validation look up to these positions."""

    honest: Split
    train_labels: int
    validation_labels: int

    @property
    def train_zone(self) -> slice:
        return slice(self.train.start, self.train_labels)

    @property
    def validation_zone(self) -> slice:
        return slice(self.validation.start, self.validation_labels)


def _moved(split: Split, **changes: Any) -> _Moved:
    values = {one.name: getattr(split, one.name) for one in fields(Split)}
    zones = {"train_labels": split.train_zone.stop, "validation_labels": split.validation_zone.stop}
    return _Moved(**(values | {"honest": split} | zones | changes))


def _parts(move: Callable[[Split], _Moved]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        split, describe = splits.split_symbols, splits.describe

        def training_bars(frame: pd.DataFrame, moved: _Moved) -> pd.DataFrame:
            last = max(moved.train_labels, moved.validation_labels, moved.honest.backtest.start)
            return frame.iloc[moved.first : moved.first + last]

        replace_in_engine(monkeypatch, split, lambda *args: {symbol: move(one) for symbol, one in split(*args).items()})
        replace_in_engine(monkeypatch, describe, lambda moved, index: describe(moved.honest, index))
        replace_in_engine(monkeypatch, splits.training_bars, training_bars)

    return plant


def _no_embargo(split: Split) -> _Moved:
    return _moved(
        split,
        train=slice(split.train.start, split.validation.start),
        validation=slice(split.validation.start, split.backtest.start),
        train_labels=split.validation.start + split.embargo,
        validation_labels=split.backtest.start + split.embargo,
    )


def _validation_in_train(split: Split) -> _Moved:
    return _moved(split, train=slice(split.train.start, split.validation.stop), train_labels=split.backtest.start)


def _epoch_by_backtest(split: Split) -> _Moved:
    return _moved(split, validation=split.backtest, validation_labels=split.backtest.stop + split.embargo)


def _epoch_by_lockbox(split: Split) -> _Moved:
    sealed = split.lockbox
    return _moved(split, validation=slice(sealed.start, sealed.stop - split.embargo), validation_labels=sealed.stop)


def _backtest_into_lockbox(split: Split) -> _Moved:
    return _moved(split, backtest=slice(split.backtest.start, split.lockbox.stop))


# What is decided.


def _outcomes(frame: pd.DataFrame, part: slice) -> Column:
    """What a long from the open after each bar of a part to the open after that earns; 0 for the last two."""
    opens = frame["open"].to_numpy(dtype=np.float64)[part]
    return np.append(opens[2:] / opens[1:-1] - 1.0, (0.0, 0.0))


def _threshold_by_backtest(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = backtest.signal_positions

    def signal_positions(strategy: Strategy, *given: Any) -> Any:
        def held(threshold: float) -> Any:
            decisions = strategy.decisions.model_copy(update={"confidence_threshold": threshold})
            return honest(strategy.model_copy(update={"decisions": decisions}), *given)

        earned = _outcomes(*given[-2:])
        return max((held(threshold) for threshold in (0.34, 0.4, 0.45, 0.5, 0.55)), key=lambda h: float(h @ earned))

    replace_in_engine(monkeypatch, honest, signal_positions)


def _trades_by_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = backtest.signal_positions

    def signal_positions(*given: Any) -> Any:
        held = honest(*given)
        return np.where(held * _outcomes(*given[-2:]) > 0, held, 0).astype(np.int8)

    replace_in_engine(monkeypatch, honest, signal_positions)


def _next_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = signals.target_positions
    replace_in_engine(monkeypatch, honest, lambda predictions, *rest: honest(of_next(predictions), *rest))


def _predictions_centred(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = backtest.predict

    def predict(*given: Any) -> Any:
        said = honest(*given)
        return said - np.nanmean(said, axis=0) + (1.0 / 3.0 if said.ndim > 1 else 0.0)

    monkeypatch.setattr(backtest, "predict", predict)


def _next_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = signals.loud_enough
    replace_in_engine(monkeypatch, honest, lambda volume: honest(of_next(volume)))


# What is traded, and what it was worth.


def _fill_at_own_open(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_in_engine(monkeypatch, backtest.targets_at_opens, lambda held: held)


def _fill_at_own_close(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = splits.backtest_bars

    def backtest_bars(frame: pd.DataFrame, split: Split) -> pd.DataFrame:
        seen = honest(frame, split)
        return seen.assign(open=seen["close"].shift().fillna(seen["open"]))

    replace_in_engine(monkeypatch, honest, backtest_bars)


def _worth_of_tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = book.keep_book

    def keep_book(opens: pd.Series, *rest: Any) -> book.Book:
        kept = honest(opens, *rest)
        price = opens.to_numpy(dtype=np.float64)
        return replace(kept, equity=kept.equity + kept.quantity * (of_next(price) - price))

    replace_in_engine(monkeypatch, honest, keep_book)


def _kindest_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = statistics.sharpe_interval

    def sharpe_interval(returns: Column, bars_per_year: float, seed: int) -> Any:
        drawn = [honest(returns, bars_per_year, seed + more) for more in range(1, 5)]
        return max(drawn, key=lambda interval: interval.low if interval else 0.0)

    replace_in_engine(monkeypatch, honest, sharpe_interval)


def _kindest_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = statistics_luck.luck_of

    def luck_of(shares: Any, seed: int) -> Any:
        drawn = [honest(shares, seed + more) for more in range(1, 9)]
        return max(drawn, key=lambda luck: luck.percentile if luck else 0.0)

    replace_in_engine(monkeypatch, honest, luck_of)


def _regime_of_own_close(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = statistics_stretches.regimes_at
    replace_in_engine(monkeypatch, honest, lambda closes, opened_at: honest(closes.shift(-1).ffill(), opened_at))


_UNSTEADY = {"training": {"learning_rate": 0.05, "epochs": 8, "early_stopping": {"patience": 1}}}
_LOUD = {"decisions": {"confidence_threshold": 0.34, "filters": {"volume_filter": True}}}
_BOLD = {"decisions": {"confidence_threshold": 0.34}}

PART_LEAKS: tuple[Leak, ...] = (
    Leak("no_embargo", "train's last labels look into validation, and its into the backtest", _parts(_no_embargo)),
    Leak("validation_in_train", "validation's rows are trained on", _parts(_validation_in_train)),
    Leak("epoch_by_backtest", "the best epoch is that of the backtest's bars", _parts(_epoch_by_backtest), _UNSTEADY),
    Leak("epoch_by_lockbox", "the best epoch is that of the lockbox's bars", _parts(_epoch_by_lockbox), _UNSTEADY),
    Leak("backtest_into_lockbox", "the backtest goes on through the lockbox", _parts(_backtest_into_lockbox)),
)

RESULT_LEAKS: tuple[Leak, ...] = (
    Leak("threshold_by_backtest", "the threshold is the one that earns most in the backtest", _threshold_by_backtest),
    Leak("trades_by_outcome", "a position is held only where it will earn", _trades_by_outcome, _BOLD),
    Leak("next_prediction", "a position is decided by the next bar's prediction", _next_prediction, _BOLD),
    Leak(
        "predictions_centred",
        "predictions are held against their mean over the whole backtest",
        _predictions_centred,
        _BOLD,
    ),
    Leak("next_volume", "the volume filter hears the next bar's volume", _next_volume, _LOUD),
    Leak("fill_at_own_open", "a signal is filled at the open of the bar that it closes", _fill_at_own_open, _BOLD),
    Leak("fill_at_own_close", "a signal is filled at the close that it is made of", _fill_at_own_close, _BOLD),
    Leak("worth_of_tomorrow", "equity counts what is held at the next open's price", _worth_of_tomorrow, _BOLD),
    Leak("kindest_bootstrap", "the bootstrap's seed is that of the highest lower bound", _kindest_bootstrap, _BOLD),
    Leak("kindest_baseline", "the random entries' seed is that which flatters most", _kindest_baseline, _BOLD),
    Leak("regime_of_own_close", "a bar's regime is known from its own close", _regime_of_own_close, _BOLD),
)
