"""What the embedded engine costs beside the bare calls that it is made of, and beside a peer where there is one.

Run from the project's root: `python -m benchmarks.engine [--quick]`. Ratios of medians in one run; each pair takes
turns, after one round that does not count. `--quick` is smaller in every way, and only shows that it runs.
"""

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

# As in an engine's process, before JAX is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
import pandas as pd
import talib
from rich.console import Console
from rich.table import Table
from sklearn.neural_network import MLPClassifier

from domain.results import Frozen
from domain.strategy import Strategy, load_strategy
from engine.bars import load_bars
from engine.book import keep_book
from engine.dataset import Dataset, prepare
from engine.features import raw_features
from engine.fitting import fit, make_plan, numbers_of, on_device
from engine.network import Chance, begin, run_epoch
from engine.pool import JobPool
from engine.statistics_luck import equity_at

LAYERS = (64, 32)

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
model: {{type: mlp, architecture: {{hidden_layers: [64, 32], dropout: 0.2}}}}
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
    bars: int = 1_000_000
    book: int = 20_000


QUICK = Size(rounds=1, epochs=2, bars=2_000, book=500)


class Pair(Frozen):
    """Two ways to the same thing: median seconds of each. goal: the most that ours may take of the other's."""

    what: str
    ours: float
    other: str
    others: float
    goal: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.others


def pair(
    what: str,
    ours: Callable[[], object],
    other: str,
    bare: Callable[[], object],
    rounds: int,
    goal: float | None = None,
) -> Pair:
    """Time both in turn."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for one, times in zip((ours, bare), taken, strict=True):
            began = time.perf_counter()
            one()
            if number:
                times.append(time.perf_counter() - began)
    return Pair(what=what, ours=statistics.median(taken[0]), other=other, others=statistics.median(taken[1]), goal=goal)


def epochs(size: Size) -> list[Pair]:
    """A training's epochs with report and checkpoint, against the compiled epoch alone and scikit-learn's."""
    strategy = load_strategy(STRATEGY.format(epochs=size.epochs)).strategy
    frame = load_bars("EURUSD", "1h", Path(tempfile.gettempdir())).frame
    dataset = prepare(strategy, {"EURUSD": frame})

    def training() -> None:
        with tempfile.TemporaryDirectory() as folder:
            fit(strategy, dataset, 1, Path(folder), lambda _: None)

    def bare() -> None:
        _bare_epochs(strategy, dataset, size.epochs)

    def peer() -> None:
        rows = dataset.train.features[dataset.train.ends]
        network = MLPClassifier(LAYERS, batch_size=32, learning_rate_init=0.001, random_state=1)
        for _ in range(size.epochs):
            network.partial_fit(rows, dataset.train.targets, classes=range(len(dataset.classes)))

    return [
        pair(f"{size.epochs} epochs, report and checkpoint", training, "compiled epochs", bare, size.rounds, goal=1.1),
        pair(f"{size.epochs} epochs, report and checkpoint", training, "scikit-learn's MLP", peer, size.rounds),
    ]


def _bare_epochs(strategy: Strategy, dataset: Dataset, count: int) -> None:
    plan, given = make_plan(strategy, dataset), on_device(dataset)
    numbers = numbers_of(strategy.training, dataset, strategy.training.learning_rate)
    network, state = begin(strategy.model, len(dataset.features), plan, 1)
    for epoch in range(1, count + 1):
        chance = Chance.of(1, epoch, len(dataset.train.ends))
        network, state, result = run_epoch(network, state, *given, chance, numbers, plan)
        float(result.validation_loss)  # waits for it, as a training does


def built_features(size: Size) -> Pair:
    """Raw features against the TA-Lib calls behind them."""
    strategy = load_strategy(STRATEGY.format(epochs=1)).strategy
    price = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.001, size.bars)))
    index = pd.date_range("2000-01-01", periods=size.bars, freq="h", tz="UTC", unit="ns")
    columns = {"open": price, "high": price * 1.001, "low": price * 0.999, "close": price * 1.0002, "volume": price}
    frame = pd.DataFrame(columns, index=index)
    high, low, close = (frame[name].to_numpy() for name in ("high", "low", "close"))

    def bare() -> None:
        talib.RSI(close), talib.ROC(close), talib.MACD(close), talib.ATR(high, low, close)

    ours = f"features of {size.bars:,} bars"
    return pair(ours, lambda: raw_features(strategy, frame), "TA-Lib alone", bare, size.rounds, goal=1.5)


def kept_book(size: Size) -> Pair:
    """A book fill by fill, against the same equity in closed form."""
    chance = np.random.default_rng(0)
    prices = np.exp(np.cumsum(chance.normal(0, 0.001, size.book)))
    targets = np.repeat(chance.integers(-1, 2, -(-size.book // 10)), 10)[: size.book].astype(np.int8)
    opens = pd.Series(prices, index=pd.date_range("2000-01-01", periods=size.book, freq="h", tz="UTC"))
    return pair(
        f"a book of {size.book:,} bars by bt",
        lambda: keep_book(opens, targets, 0.0001),
        "closed form in numpy",
        lambda: equity_at(prices, targets, 0.0001),
        size.rounds,
    )


def started(size: Size) -> Pair:
    """A job's process that is forked, against one that imports the engine by itself."""
    fresh: list[float] = []
    for _ in range(size.rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import engine.training, engine.backtest"], check=True)
        fresh.append(time.perf_counter() - began)
    ours, others = statistics.median(asyncio.run(_forked(size))), statistics.median(fresh)
    return Pair(what="a job's process, forked", ours=ours, other="its imports", others=others)


async def _forked(size: Size) -> list[float]:
    taken: list[float] = []
    with tempfile.TemporaryDirectory() as folder, JobPool(1, Path(folder)) as pool:
        for number in range(size.rounds + 1):
            began = time.perf_counter()
            await pool.run("benchmarks.engine:nothing", {}, lambda _: None)
            if number:  # the first waits for the imports
                taken.append(time.perf_counter() - began)
    return taken


def nothing(report: object) -> None:
    """A job that has nothing to do."""


def measured(size: Size) -> list[Pair]:
    """Every pair."""
    return [started(size), *epochs(size), built_features(size), kept_book(size)]


def main(arguments: list[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    size = QUICK if parser.parse_args(arguments).quick else Size()
    named = ", ".join(f"{name} {version(name)}" for name in ("jax", "equinox", "optax", "ta-lib", "bt", "scikit-learn"))
    table = Table("", "seconds", "beside", "seconds", "ratio", "goal", box=None)
    for one in measured(size):
        goal = "" if one.goal is None else f"{one.goal:g} {'met' if one.ratio <= one.goal else 'missed'}"
        table.add_row(one.what, f"{one.ours:.4f}", one.other, f"{one.others:.4f}", f"{one.ratio:.3g}", goal)
    console = Console()
    console.print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {named}")
    console.print(table)


if __name__ == "__main__":
    main()
