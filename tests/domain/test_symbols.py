"""One rule for a symbol, wherever one is named, and no symbol is more than a part of a file's name."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from domain.cycle import CycleRequest, DesignerKind
from domain.strategy import TrainingData
from domain.symbols import is_symbol

SYMBOLS = ["EURUSD", "eurusd", "600519", "BRK.B", "BTC.PERPETUAL", "EUR=X", "^GSPC", "A-B_C", "X" * 32]
NO_SYMBOLS = ["", ".", "..", ".EURUSD", "EURUSD.", "A..B", "../A", "A/B", "A\\B", "A'B", "A B", "A\n", "A\0", "X" * 33]


def _request(symbol: str) -> CycleRequest:
    return CycleRequest(symbol=symbol, timeframe="1h", designer=DesignerKind.OFFLINE)


def _data(symbol: str) -> TrainingData:
    return TrainingData(symbols=(symbol,), timeframes=("1h",), base_timeframe="1h")


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_symbol_is_one_to_requests_strategies_and_bars_alike(symbol: str) -> None:
    assert is_symbol(symbol)
    assert _request(symbol).symbol == symbol == _data(symbol).symbols[0]
    assert (Path("data") / f"{symbol}_1h.csv.gz").resolve().parent == Path("data").resolve()


@pytest.mark.parametrize("text", NO_SYMBOLS)
def test_what_is_no_symbol_is_refused_by_requests_strategies_and_bars_alike(text: str) -> None:
    assert not is_symbol(text)
    for refusing in (_request, _data):
        with pytest.raises(ValidationError):
            refusing(text)
