"""Whatever validates as trainable is trained and backtested: nothing that a file asks for fails for want of code.

In the usual run these are files that together ask for each kind of network, loss, label and output, for several symbols
and several timeframes, and one more, another every day; with `--chaos` all are.
"""

import hashlib
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath

import jax
import pandas as pd
import pytest

from domain.cycle import StrategyRef
from domain.grammar.values import TIMEFRAMES
from domain.results import PartName
from domain.strategy import Strategy, dump_strategy, load_strategy
from engine.backtest import run_backtest
from engine.bars import SAMPLES, AssetClass, encode, file_name, load_bars
from engine.interface import BacktestJob, Places, TrainJob
from engine.training import run_training
from tests.strategies.expected import TRAINABLE, text_of

BARS = 3000
LAST = pd.Timestamp("2024-12-30", tz="UTC")
"""A Monday, within every range of days that the files of unbundled bars name."""
EPOCHS = 2


@pytest.fixture(scope="module", autouse=True)
def compiled_quickly() -> Iterator[None]:
    """Every file has a network of its own to compile, which takes most of the time: here without optimisation.

    What is compiled so gives other bits, so nothing of it stays behind for other tests.
    """
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Some of the files, or all."""
    if "name" in metafunc.fixturenames:
        rest = [name for name in TRAINABLE if name not in enough()]
        today = rest[datetime.now(UTC).date().toordinal() % len(rest)]
        metafunc.parametrize("name", TRAINABLE if metafunc.config.getoption("chaos") else [*enough(), today])


@cache
def enough() -> list[str]:
    """Files that together ask for all that any asks for; always the same ones."""
    asked = {name: asks(load_strategy(text_of(name)).strategy) for name in TRAINABLE}
    chosen, missing = [], set[str]().union(*asked.values())
    while missing:
        chosen.append(max(TRAINABLE, key=lambda name: len(asked[name] & missing)))
        missing -= asked[chosen[-1]]
    return chosen


def asks(strategy: Strategy) -> set[str]:
    """What a strategy asks of the training, in words."""
    training, data = strategy.training, strategy.training_data
    found = {
        f"network {strategy.model.type}",
        f"loss {training.loss}",
        f"labels {training.labels.source}",
        f"output {strategy.decisions.output_format}",
    }
    several = {"symbols": data.symbols, "timeframes": data.timeframes}
    return found | {f"several {what}" for what, named in several.items() if len(named) > 1}


def test_what_validates_as_trainable_is_trained_and_backtested(name: str, tmp_path: Path, final: PurePosixPath):
    read = load_strategy(text_of(name)).strategy
    strategy = read.model_copy(update={"training": read.training.model_copy(update={"epochs": EPOCHS})})
    places = Places(artifacts=tmp_path / "artifacts", strategies=tmp_path / "strategies", data=tmp_path / "data")
    _bring_bars(strategy, places.data)
    job = TrainJob(
        cycle_id="cyc-1",
        strategy=_keep(strategy, places.strategies),
        symbol=strategy.training_data.symbols[0],
        timeframe=strategy.training_data.base_timeframe,
        seed=1,
    )
    trained_in, tested_in = places.artifacts / final, tmp_path / "backtest"
    trained_in.mkdir(parents=True)
    tested_in.mkdir()

    trained = run_training(job, places, trained_in, final, lambda _: None)
    backtest = BacktestJob(
        **job.model_dump(),
        model_path=trained.model_path,
        model_id=trained.model_id,
        data_sha256=trained.data_sha256,
        trials=1,
    )
    tested = run_backtest(backtest, places, tested_in, PurePosixPath("cyc-1/backtest-ab12cd"), lambda _: None)

    assert trained.epochs == EPOCHS
    assert trained.features == tuple(feature.name for feature in strategy.features)
    assert tested.part.name is PartName.BACKTEST
    assert (tested.part.bars or 0) > 0
    assert (tested_in / Path(str(tested.equity_path)).name).stat().st_size > 0


def _keep(strategy: Strategy, directory: Path) -> StrategyRef:
    content = dump_strategy(strategy).encode()
    digest = hashlib.sha256(content).hexdigest()
    directory.mkdir()
    (directory / f"{digest}.yaml").write_bytes(content)
    return StrategyRef(name=strategy.name, sha256=digest, path=f"{digest}.yaml")


def _bring_bars(strategy: Strategy, data: Path) -> None:
    """The bundled bars where all that the strategy names are bundled; else such bars under its symbols' names.

    What is not bundled is bundled bars too, currencies' or a share's, from another row on for each symbol and at times
    as far apart as the strategy's base timeframe.
    """
    timeframe, symbols = strategy.training_data.base_timeframe, strategy.training_data.symbols
    data.mkdir()
    if all((SAMPLES / file_name(symbol, timeframe)).exists() for symbol in symbols):
        return
    for symbol in symbols:
        currencies = len(symbol) == 6
        rows = load_bars(*(("EURUSD", "1h") if currencies else ("AAPL", "1d")), data / "none").frame
        rows = rows.iloc[zlib.crc32(symbol.encode()) % BARS :].iloc[:BARS]
        times = pd.date_range(end=LAST, periods=BARS, freq=TIMEFRAMES[timeframe], name="timestamp")
        _, content = encode(
            rows.set_axis(times, axis=0),
            symbol=symbol,
            timeframe=timeframe,
            asset_class=AssetClass.FX if currencies else AssetClass.EQUITY,
            source="bundled bars at other times",
            licence="as theirs",
        )
        (data / file_name(symbol, timeframe)).write_bytes(content)
