"""What the engine's tests share."""

import copy
import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

# Engine processes run with one thread each; so do the tests that run the engine in their own. Before JAX is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import pandas as pd
import pytest
import yaml

from domain.cycle import StrategyRef
from domain.strategy import Strategy, load_strategy
from engine.bars import load_bars
from engine.interface import Places, TrainJob

# Jobs in process_jobs.py are called by name in child processes, which look where this process looks.
sys.path.append(str(Path(__file__).parent))

FINAL = PurePosixPath("cyc-1/training-ab12cd")

ZIGZAG: dict[str, Any] = {
    "name": "zigzag_rsi",
    "version": "3.0",
    "training_data": {
        "symbols": {"mode": "single", "symbol": "EURUSD"},
        "timeframes": {"mode": "single", "timeframe": "1h"},
        "history_required": 100,
    },
    "indicators": {
        "rsi_14": {"type": "rsi", "period": 14},
        "roc_10": {"type": "roc", "period": 10},
        "macd": {"type": "macd"},
    },
    "fuzzy_sets": {
        "rsi_level": {
            "indicator": "rsi_14",
            "low": [0, 0, 45],
            "middle": {"type": "gaussian", "parameters": [50, 10]},
            "high": [55, 100, 100],
        }
    },
    "nn_inputs": [
        {"fuzzy_set": "rsi_level", "timeframes": "all"},
        {"raw_indicator": "roc_10", "timeframes": "all", "normalization": "zscore"},
        {"raw_indicator": "macd.histogram", "timeframes": "all", "normalization": "minmax"},
    ],
    "model": {"type": "mlp", "architecture": {"hidden_layers": [8], "activation": "relu", "dropout": 0.1}},
    "decisions": {"output_format": "classification", "confidence_threshold": 0.5, "allow_short_from_flat": True},
    "training": {
        "labels": {"source": "zigzag", "zigzag_threshold": 0.006, "label_lookahead": 20},
        "loss": "cross_entropy",
        "epochs": 6,
        "batch_size": 256,
        "learning_rate": 0.005,
    },
}
REGRESSION = {
    "decisions": {"output_format": "regression"},
    "training": {"labels": {"source": "forward_return", "horizon": 12}, "loss": "huber"},
}

StrategyText = Callable[..., str]
Prepared = tuple[TrainJob, Places]


@pytest.fixture
def strategy_text() -> StrategyText:
    """A small zigzag strategy for EURUSD as YAML, with sections or keys replaced; None takes a key away."""

    def build(*changes: Mapping[str, Any]) -> str:
        content = copy.deepcopy(ZIGZAG)
        for change in changes:
            _merge(content, change)
        # Through JSON, since a value that stands there twice would become an alias, which the grammar refuses.
        return yaml.safe_dump(json.loads(json.dumps(content)), sort_keys=False)

    return build


@pytest.fixture
def strategy(strategy_text: StrategyText) -> Callable[..., Strategy]:
    """The same, loaded."""
    return lambda *changes: load_strategy(strategy_text(*changes)).strategy


@pytest.fixture
def regression() -> Mapping[str, Any]:
    """The change that makes the strategy predict returns."""
    return REGRESSION


@pytest.fixture
def job(strategy_text: StrategyText, tmp_path: Path) -> Callable[..., Prepared]:
    """A training job with its strategy saved, and the places it runs in."""
    places = Places(artifacts=tmp_path / "artifacts", strategies=tmp_path / "strategies", data=tmp_path / "data")

    def build(*changes: Mapping[str, Any], seed: int = 1, timeframe: str = "1h", symbol: str = "EURUSD") -> Prepared:
        content = strategy_text(*changes).encode()
        digest = hashlib.sha256(content).hexdigest()
        places.strategies.mkdir(exist_ok=True)
        (places.strategies / f"{digest}.yaml").write_bytes(content)
        ref = StrategyRef(name="zigzag_rsi", sha256=digest, path=f"{digest}.yaml")
        return TrainJob(cycle_id="cyc-1", strategy=ref, symbol=symbol, timeframe=timeframe, seed=seed), places

    return build


@pytest.fixture(scope="session")
def final() -> PurePosixPath:
    """Where a training's directory will be published."""
    return FINAL


@pytest.fixture(scope="session")
def eurusd(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The bundled hourly bars."""
    return load_bars("EURUSD", "1h", tmp_path_factory.mktemp("no_data")).frame


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    """A good CSV of 200 bars of EURUSD 1h, header first: line n of the file is lines[n - 1]."""
    frame = load_bars("EURUSD", "1h", tmp_path).frame.iloc[:200]
    rows = [
        f"{time:%Y-%m-%dT%H:%M:%SZ},{bar.open},{bar.high},{bar.low},{bar.close},{bar.volume}"
        for time, bar in frame.iterrows()
    ]
    return ["timestamp,open,high,low,close,volume", *rows]


def _merge(content: dict[str, Any], change: Mapping[str, Any]) -> None:
    for key, value in change.items():
        if value is None:
            content.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(content.get(key), dict) and key not in REPLACED:
            _merge(content[key], value)
        else:
            content[key] = copy.deepcopy(value)


REPLACED = ("labels", "indicators", "fuzzy_sets", "lr_scheduler", "early_stopping", "data_split")
"""Keys whose value is replaced whole."""
