"""What a reader finds on the disk, at any moment: only what is whole."""

import json
from pathlib import Path

from pyarrow import parquet

from domain.results import BacktestResult, TrainingResult
from domain.strategy import load_strategy
from engine.attempts import RESULT
from engine.model import load_model
from settings import Settings
from store.cycles import Store
from store.strategies import StrategyFiles

SUFFIXES = {".yaml"}


def read_everything(settings: Settings) -> tuple[int, int]:
    """Read all that is published below the home, as its readers do. How many results and records there were.

    Raises whatever a reader would have tripped over.
    """
    results = [path for path in settings.artifacts.glob("*/*") if not path.name.startswith(".")]
    for folder in results:
        if folder.name.startswith("training-"):
            _training(settings.artifacts, folder)
        else:
            assert folder.name.startswith("backtest-"), folder
            _backtest(settings.artifacts, folder)
    files = StrategyFiles(settings.strategies)
    for ref in files.list():
        assert load_strategy(files.read(ref)).strategy.name
    for path in settings.strategies.iterdir():
        assert path.suffix in SUFFIXES or path.name.startswith("."), f"{path} looks like a final file and is none"
    store = Store.open(settings.store_url)
    try:
        records = store.list(limit=1_000)
        for record in records:
            assert record.strategy
            assert load_strategy(files.read(record.strategy)).strategy.name
    finally:
        store.close()
    return len(results), len(records)


def _training(artifacts: Path, folder: Path) -> None:
    result = TrainingResult.model_validate_json((folder / RESULT).read_bytes())
    assert result.model_path
    assert result.history_path
    assert (artifacts / result.model_path).parent == folder
    assert load_model(artifacts / result.model_path, result.model_id).model_id == result.model_id
    assert len(json.loads((artifacts / result.history_path).read_bytes())) == result.epochs
    _only(folder, {RESULT, "model.npz", "model.json", "history.json"})


def _backtest(artifacts: Path, folder: Path) -> None:
    result = BacktestResult.model_validate_json((folder / RESULT).read_bytes())
    assert result.equity_path
    assert result.trades_path
    assert (artifacts / result.equity_path).parent == folder
    assert parquet.read_metadata(artifacts / result.equity_path).num_rows > 1
    assert parquet.read_metadata(artifacts / result.trades_path).num_rows == result.total_trades
    _only(folder, {RESULT, "equity.parquet", "trades.parquet"})


def _only(folder: Path, names: set[str]) -> None:
    """No file of an attempt's is among the published ones."""
    assert {path.name for path in folder.iterdir()} == names
