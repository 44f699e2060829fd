"""The files of a backtest: its curves and its trades, as Parquet. Equal runs write equal bytes."""

from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from engine.portfolio import Portfolio

EQUITY_FILE: Final = "equity.parquet"
TRADES_FILE: Final = "trades.parquet"

_TIME: Final = pa.timestamp("ms", tz="UTC")
_EQUITY: Final = pa.schema(
    [
        ("time", _TIME),
        ("equity", pa.float64()),
        ("equity_gross", pa.float64()),
        ("buy_and_hold", pa.float64()),
        ("position", pa.int8()),
    ]
)
_TRADES: Final = pa.schema(
    [
        ("entry_time", _TIME),
        ("exit_time", _TIME),
        ("symbol", pa.string()),
        ("side", pa.string()),
        ("entry_price", pa.float64()),
        ("exit_price", pa.float64()),
        ("bars", pa.int64()),
        ("return_gross", pa.float64()),
        ("return_net", pa.float64()),
        ("profit", pa.float64()),
    ]
)


def write_equity(portfolio: Portfolio, folder: Path) -> None:
    """Write equity.parquet, a row an open: time (UTC), equity net and gross and buy and hold (each in multiples of
    what it began with), position after the fill there: -1, 0, 1, or of several symbols those long less those short."""
    columns = {
        "time": portfolio.times,
        "equity": portfolio.equity,
        "equity_gross": portfolio.equity_gross,
        "buy_and_hold": portfolio.buy_and_hold,
        "position": portfolio.position,
    }
    _write(columns, _EQUITY, folder / EQUITY_FILE)


def write_trades(trades: pd.DataFrame, folder: Path) -> None:
    """Write trades.parquet, a row a trade in the order of their entries, with the columns of Portfolio.trades."""
    _write({name: trades[name] for name in _TRADES.names}, _TRADES, folder / TRADES_FILE)


def _write(columns: dict[str, object], schema: pa.Schema, path: Path) -> None:
    arrays = [pa.array(columns[field.name], type=field.type, from_pandas=True) for field in schema]
    parquet.write_table(pa.table(arrays, schema=schema), path, compression="zstd")
