"""What the embedded engine costs beside the bare calls that it is made of, and beside a peer where there is one.

Run from the project's root: `python -m benchmarks.engine [--quick] [--json FILE]`. Ratios of medians in one run; each
pair takes turns, after one round that does not count.
"""

import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# As in an engine's process, before JAX is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
import pandas as pd
import talib
from sklearn.neural_network import MLPClassifier

from benchmarks.engine_jobs import jobs
from benchmarks.figures import Group, Row, command
from domain.results import Frozen
from domain.strategy import Strategy, load_strategy
from engine.bars import load_bars
from engine.book import keep_book
from engine.dataset import Dataset, prepare
from engine.features import raw_features
from engine.fitting import fit, make_plan, numbers_of, on_device
from engine.network import Chance, begin, run_epoch
from engine.signals import Signals
from engine.statistics_luck import equity_at

EPOCHS_GOAL = 1.1
"""Of the bare compiled epochs."""

FEATURES_GOAL = 1.5
"""Of TA-Lib's calls."""

LAYERS = (64, 32)
MLP = "{type: mlp, architecture: {hidden_layers: [64, 32], dropout: 0.2}}"
LSTM = "{type: lstm, architecture: {sequence_length: 10, hidden_size: 32, num_layers: 1, dropout: 0.2}}"

STRATEGY = """
name: measured
training_data: {{symbols: EURUSD, timeframes: 1h, history_required: 100}}
indicators:
  rsi: {{type: rsi}}
  roc: {{type: roc}}
  macd: {{type: macd}}
  atr: {{type: atr}}
nn_inputs:
  - {{raw_indicator: rsi, normalization: minmax}}
  - {{raw_indicator: roc, normalization: zscore}}
  - {{raw_indicator: macd, normalization: zscore}}
  - {{raw_indicator: atr, normalization: zscore}}
model: {model}
training:
  labels: {{source: zigzag, zigzag_threshold: 0.006}}
  loss: cross_entropy
  epochs: {epochs}
  batch_size: 32
"""


class Size(Frozen):
    """How much is measured: rounds of each pair, epochs a training, bars of features and of a book."""

    rounds: int = 7
    epochs: int = 30
    recurrent_epochs: int = 5
    bars: int = 1_000_000
    book: int = 20_000


QUICK = Size(rounds=1, epochs=2, recurrent_epochs=2, bars=2_000, book=500)


def pair(ours: Callable[[], object], bare: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of each, in turn."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for one, times in zip((ours, bare), taken, strict=True):
            began = time.perf_counter()
            one()
            if number:
                times.append(time.perf_counter() - began)
    return statistics.median(taken[0]), statistics.median(taken[1])


def row(
    what: str,
    beside: str,
    seconds: tuple[float, float],
    goal: float | None = None,
    why: str = "",
) -> Row:
    """Of seconds."""
    ours, theirs = seconds
    return Row(
        what=what,
        ours=f"{ours:.4f} s",
        beside=beside,
        theirs=f"{theirs:.4f} s",
        ratio=ours / theirs,
        goal=goal,
        why=why,
    )


def epochs(size: Size) -> Group:
    """A training's epochs with report and checkpoint, against the compiled epochs alone and scikit-learn's."""
    frame = load_bars("EURUSD", "1h", Path(tempfile.gettempdir())).frame
    rows: list[Row] = []
    for name, model, count in (("mlp", MLP, size.epochs), ("lstm", LSTM, size.recurrent_epochs)):
        strategy = _strategy(model, count)
        dataset = prepare(strategy, {"EURUSD": frame})
        what = f"{name}: {count} epochs with validation, report and checkpoint"
        fitted, bare = _fitting(strategy, dataset), _bare(strategy, dataset, count)
        rows.append(row(what, "the compiled epochs alone", pair(fitted, bare, size.rounds), EPOCHS_GOAL, EPOCHS_WHY))
        if model == MLP:
            peer = "scikit-learn's MLP, without dropout, validation or checkpoint"
            rows.append(row(what, peer, pair(fitted, _by_sklearn(dataset, count), size.rounds)))
    return Group(title="Epochs", rows=tuple(rows))


EPOCHS_WHY = (
    "a checkpoint after each epoch, both accuracies and the report, with what is prepared once; one file that is "
    "written over took the place of an archive of 25 members, and class accuracies no longer take a softmax"
)


def _strategy(model: str, count: int) -> Strategy:
    return load_strategy(STRATEGY.format(model=model, epochs=count)).strategy


def _fitting(strategy: Strategy, dataset: Dataset) -> Callable[[], object]:
    def fitted() -> None:
        with tempfile.TemporaryDirectory() as folder:
            fit(strategy, dataset, 1, Path(folder), lambda _: None)

    return fitted


def _by_sklearn(dataset: Dataset, count: int) -> Callable[[], object]:
    def peer() -> None:
        rows = dataset.train.features[dataset.train.ends]
        network = MLPClassifier(LAYERS, batch_size=32, learning_rate_init=0.001, random_state=1)
        for _ in range(count):
            network.partial_fit(rows, dataset.train.targets, classes=range(len(dataset.classes)))

    return peer


def _bare(strategy: Strategy, dataset: Dataset, count: int) -> Callable[[], object]:
    return lambda: _bare_epochs(strategy, dataset, count)


def _bare_epochs(strategy: Strategy, dataset: Dataset, count: int) -> None:
    plan, given = make_plan(strategy, dataset), on_device(dataset)
    numbers = numbers_of(strategy.training, dataset, strategy.training.learning_rate)
    network, state = begin(strategy.model, len(dataset.features), plan, 1)
    for epoch in range(1, count + 1):
        chance = Chance.of(1, epoch, len(dataset.train.ends))
        network, state, result = run_epoch(network, state, *given, chance, numbers, plan)
        float(result.validation_loss)  # waits for it, as a training does


def built_features(size: Size) -> Row:
    """Raw features against the TA-Lib calls behind them."""
    strategy = _strategy(MLP, 1)
    price = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.001, size.bars)))
    index = pd.date_range("2000-01-01", periods=size.bars, freq="h", tz="UTC", unit="ns")
    columns = {"open": price, "high": price * 1.001, "low": price * 0.999, "close": price * 1.0002, "volume": price}
    frame = pd.DataFrame(columns, index=index)
    high, low, close = (frame[name].to_numpy() for name in ("high", "low", "close"))

    def bare() -> None:
        talib.RSI(close), talib.ROC(close), talib.MACD(close), talib.ATR(high, low, close)

    seconds = pair(lambda: raw_features(strategy, frame), bare, size.rounds)
    why = (
        "each column is copied into the network's matrix and looked through for infinities; columns written as a "
        "whole brought it from 2.0, and one indicator's outputs at a time changed nothing that could be measured"
    )
    return row(f"features of {size.bars:,} bars", "the four TA-Lib calls alone", seconds, FEATURES_GOAL, why)


def kept_books(size: Size) -> Sequence[Row]:
    """A book fill by fill, against the same equity in closed form, and against a peer's book of the same signals."""
    chance = np.random.default_rng(0)
    prices = np.exp(np.cumsum(chance.normal(0, 0.001, size.book)))
    targets = np.repeat(chance.integers(-1, 2, -(-size.book // 10)), 10)[: size.book].astype(np.int8)
    opens = pd.Series(prices, index=pd.date_range("2000-01-01", periods=size.book, freq="h", tz="UTC"))

    def ours() -> object:
        return keep_book(opens, targets, 0.0001)

    what = f"a book of {size.book:,} bars, by bt"
    closed = pair(ours, lambda: equity_at(prices, targets, 0.0001), size.rounds)
    return [row(what, "its equity in closed form, in numpy", closed), _beside_peer(what, ours, opens, targets, size)]


def _beside_peer(what: str, ours: Callable[[], object], opens: pd.Series, targets: Signals, size: Size) -> Row:
    """In bars a second."""
    if importlib.util.find_spec("backtesting") is None:
        return Row(what=what, ours="", beside="backtesting.py", theirs="not installed")
    from benchmarks.engine_peer import traded

    mine, theirs = (size.book / taken for taken in pair(ours, lambda: traded(opens, targets, 0.0001), size.rounds))
    return Row(
        what=what,
        ours=f"{mine:,.0f} bars a second",
        beside="backtesting.py, the same signals",
        theirs=f"{theirs:,.0f} bars a second",
        ratio=mine / theirs,
    )


def measured(quick: bool) -> Sequence[Group]:
    """All of it."""
    size = QUICK if quick else Size()
    return [
        jobs(STRATEGY.format(model=MLP, epochs=size.epochs), size.rounds),
        epochs(size),
        Group(title="Features and books", rows=(built_features(size), *kept_books(size))),
    ]


main = command("engine", __doc__ or "", ("jax", "equinox", "optax", "ta-lib", "bt", "scikit-learn"), measured)

if __name__ == "__main__":
    raise SystemExit(main())
