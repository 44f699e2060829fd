"""Synthetic bars, to see whether the instrument works: a series with a planted edge, and twins that have none.

The planted series drifts up or down in turn, by much less than a bar's own noise, and its direction lasts. Who follows
the recent past is right more often than not, by enough to pay the costs. A twin has the very same bars in another
order: the same distribution of returns, and nothing to be learned from the past. A laboratory that finds no edge in
the first, or finds one in the second, is broken.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.bars import SAMPLES, AssetClass, Bars, encode, file_name, load_bars

SYMBOL: Final = "PLANTED"
TWIN_SYMBOL: Final = "PLANTED-SHUFFLED"
TIMEFRAME: Final = "1h"
STRATEGY_FILE: Final = SAMPLES / "planted_edge.yaml"
BARS: Final = 12_000
SEED: Final = 20_01
TWIN_SEED: Final = 20_02

_NOISE: Final = 0.001  # standard deviation of an hour's return, about that of EURUSD
_DRIFT: Final = 0.00035  # an hour's expected return, up or down
_LASTS: Final = 40  # mean bars until the direction turns
_STEPS: Final = 12  # moves within a bar, from which its high and low come
_FIRST_PRICE: Final = 1.2
_DECIMALS: Final = 5
_FIRST_BAR: Final = pd.Timestamp("2020-01-05T22:00:00Z")


def planted_bars(seed: int = SEED, bars: int = BARS) -> Bars:
    """Hourly bars like a currency pair's with an edge planted in them, before any costs. Equal seeds, equal bars."""
    random = np.random.default_rng(seed)
    turns = random.random(bars) < 1 / _LASTS
    direction = np.where(np.cumsum(turns) % 2 == 0, 1.0, -1.0)
    moves = random.normal(_DRIFT / _STEPS, _NOISE / np.sqrt(_STEPS), (bars, _STEPS))
    # The sign is put on afterwards, so that the size of the noise and the direction have nothing to do with each other.
    path = np.cumsum(moves + (direction[:, None] - 1) * _DRIFT / _STEPS, axis=1)
    shapes = np.exp(np.column_stack((path.max(axis=1).clip(min=0), path.min(axis=1).clip(max=0), path[:, -1])))
    volume = np.round(random.lognormal(8.0, 0.5, bars))
    frame = _chain(_hours(bars), np.ones(bars), shapes, volume)
    return _bars(SYMBOL, frame, "a synthetic series with a planted edge, made by engine/synthetic.py")


def shuffled_twin(bars: Bars, seed: int) -> Bars:
    """The same bars in a random order: each keeps its gap from the bar before it, its shape and its volume.

    The times stay where they are. Prices are rounded to five decimals, as the planted series' are.
    """
    order = np.random.default_rng(seed).permutation(len(bars.frame))
    opens, highs, lows, closes, volume = (
        bars.frame[name].to_numpy(dtype=np.float64) for name in ("open", "high", "low", "close", "volume")
    )
    gaps = opens / np.concatenate((opens[:1], closes[:-1]))
    shapes = np.column_stack((highs, lows, closes)) / opens[:, None]
    index = pd.DatetimeIndex(bars.frame.index)
    frame = _chain(index, gaps[order], shapes[order], volume[order], first=float(opens[0]))
    symbol = f"{bars.symbol}-SHUFFLED"
    return replace(
        _bars(symbol, frame, f"the bars of {bars.symbol} in random order (seed {seed}), made by engine/synthetic.py"),
        timeframe=bars.timeframe,
        asset_class=bars.asset_class,
    )


def file_content(bars: Bars) -> bytes:
    """The bytes of the file that load_bars reads as these bars."""
    _, content = encode(
        bars.frame,
        symbol=bars.symbol,
        timeframe=bars.timeframe,
        asset_class=bars.asset_class,
        source=bars.source,
        licence=bars.licence,
        synthetic=bars.synthetic,
    )
    return content


def write_bars(bars: Bars, folder: Path) -> Bars:
    """Put synthetic bars where load_bars finds them, and give them as it does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file_name(bars.symbol, bars.timeframe)).write_bytes(file_content(bars))
    return load_bars(bars.symbol, bars.timeframe, folder)


def _chain(
    index: pd.DatetimeIndex,
    gaps: NDArray[np.float64],
    shapes: NDArray[np.float64],
    volume: NDArray[np.float64],
    first: float = _FIRST_PRICE,
) -> pd.DataFrame:
    """Bars one after the other: each opens at the close before it times its gap; high, low and close are times open."""
    opens = first * np.cumprod(gaps) * np.concatenate(([1.0], np.cumprod(shapes[:-1, 2])))
    prices = np.column_stack((opens, shapes * opens[:, None]))
    # Rounding keeps the order of open, high, low and close, and hides the last digit, in which processors differ.
    frame = pd.DataFrame(np.round(prices, _DECIMALS), columns=["open", "high", "low", "close"], index=index)
    return frame.assign(volume=volume)


def _hours(bars: int) -> pd.DatetimeIndex:
    """Hours of a currency market: from Sunday 22:00 UTC to Friday 21:00."""
    hours = pd.date_range(_FIRST_BAR, periods=bars * 2, freq="h", name="timestamp").as_unit("ns")
    hour_of_week = (hours.day_of_week * 24 + hours.hour).to_numpy()
    return hours[(hour_of_week < 4 * 24 + 22) | (hour_of_week >= 6 * 24 + 22)][:bars]


def _bars(symbol: str, frame: pd.DataFrame, source: str) -> Bars:
    return Bars(
        symbol=symbol,
        timeframe=TIMEFRAME,
        asset_class=AssetClass.FX,
        sha256=_hash(symbol, frame),
        frame=frame,
        source=source,
        licence="made by this project, MIT like the rest of it",
        synthetic=True,
    )


def _hash(symbol: str, frame: pd.DataFrame) -> str:
    info, _ = encode(frame, symbol=symbol, timeframe=TIMEFRAME, asset_class=AssetClass.FX, source="", licence="")
    return info.sha256
