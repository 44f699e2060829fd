"""Indicators told bar by bar, from their definitions: what the engine's are compared with. Slow, and meant to be."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import talib

Lines = Mapping[str | None, Any]
NAN = math.nan


def prices(frame: pd.DataFrame, *names: str) -> list[list[float]]:
    return [frame[name].tolist() for name in names]


def from_bar(first: int, count: int, value: Callable[[int], float]) -> list[float]:
    return [NAN if t < first else value(t) for t in range(count)]


def recursive_average(values: Sequence[float], period: int) -> list[float]:
    """The exponential average from the first number on, told from the `period`-th on."""
    out: list[float] = []
    average, seen = NAN, 0
    for value in values:
        if not math.isnan(value):
            average = value if seen == 0 else average + 2 / (period + 1) * (value - average)
            seen += 1
        out.append(average if seen >= period else NAN)
    return out


def average_true_range(frame: pd.DataFrame, period: int) -> list[float]:
    high, low, close = prices(frame, "high", "low", "close")
    ranges = [
        max(high[t], close[t - 1]) - min(low[t], close[t - 1]) if t else high[t] - low[t] for t in range(len(close))
    ]
    out = [NAN] * len(close)
    out[period] = sum(ranges[1 : period + 1]) / period
    for t in range(period + 1, len(close)):
        out[t] = (out[t - 1] * (period - 1) + ranges[t]) / period
    return out


def typical(frame: pd.DataFrame) -> list[float]:
    high, low, close = prices(frame, "high", "low", "close")
    return [sum(three) / 3 for three in zip(high, low, close, strict=True)]


def momentum(frame: pd.DataFrame, period: int = 10, source: str = "close") -> Lines:
    (price,) = prices(frame, source)
    return {None: from_bar(period, len(price), lambda t: price[t] - price[t - period])}


def cci(frame: pd.DataFrame, period: int = 20) -> Lines:
    price = typical(frame)

    def value(t: int) -> float:
        window = price[t - period + 1 : t + 1]
        mean = sum(window) / period
        deviation = sum(abs(p - mean) for p in window) / period
        return (price[t] - mean) / (0.015 * deviation) if deviation else 0.0

    return {None: from_bar(period - 1, len(price), value)}


def williamsr(frame: pd.DataFrame, period: int = 14) -> Lines:
    high, low, close = prices(frame, "high", "low", "close")

    def value(t: int) -> float:
        top, bottom = max(high[t - period + 1 : t + 1]), min(low[t - period + 1 : t + 1])
        return -100 * (top - close[t]) / (top - bottom) if top > bottom else 0.0

    return {None: from_bar(period - 1, len(close), value)}


def rvi(frame: pd.DataFrame, period: int = 10, signal_period: int = 4) -> Lines:
    opened, high, low, close = prices(frame, "open", "high", "low", "close")
    bars, weights = range(period), (1, 2, 2, 1)

    def value(t: int) -> float:
        vigor = sum(w * (close[t - b - k] - opened[t - b - k]) for b in bars for k, w in enumerate(weights))
        return vigor / sum(w * (high[t - b - k] - low[t - b - k]) for b in bars for k, w in enumerate(weights))

    index = from_bar(period + 2, len(close), value)
    first = period + 1 + signal_period
    signal = from_bar(first, len(close), lambda t: sum(index[t - signal_period + 1 : t + 1]) / signal_period)
    return {"rvi": index, "signal": signal}


def fishertransform(frame: pd.DataFrame, period: int = 10, smoothing: int = 3) -> Lines:
    high, low = prices(frame, "high", "low")

    def value(t: int) -> float:
        top, bottom = max(high[t - period + 1 : t + 1]), min(low[t - period + 1 : t + 1])
        place = 2 * ((high[t] + low[t]) / 2 - bottom) / (top - bottom) - 1
        place = min(max(place, -0.999), 0.999)
        return 0.5 * math.log((1 + place) / (1 - place))

    fisher = recursive_average(from_bar(period - 1, len(high), value), smoothing)
    return {"fisher": fisher, "signal": [NAN, *fisher[:-1]]}


def aroon(frame: pd.DataFrame, period: int = 14) -> Lines:
    high, low = prices(frame, "high", "low")

    def value(t: int, line: list[float], best: Callable[..., float]) -> float:
        since = next(lag for lag in range(period + 1) if line[t - lag] == best(line[t - period : t + 1]))
        return 100 * (period - since) / period

    up = from_bar(period, len(high), lambda t: value(t, high, max))
    down = from_bar(period, len(high), lambda t: value(t, low, min))
    return {"up": up, "down": down, "oscillator": [u - d for u, d in zip(up, down, strict=True)]}


def bands(frame: pd.DataFrame, period: int, multiplier: float, source: str) -> tuple[list[float], ...]:
    (price,) = prices(frame, source)
    middle = from_bar(period - 1, len(price), lambda t: float(np.mean(price[t - period + 1 : t + 1])))
    reach = from_bar(period - 1, len(price), lambda t: multiplier * float(np.std(price[t - period + 1 : t + 1])))
    pairs = list(zip(middle, reach, strict=True))
    return [m + r for m, r in pairs], middle, [m - r for m, r in pairs]


def bollingerbandwidth(frame: pd.DataFrame, period: int = 20, multiplier: float = 2.0, source: str = "close") -> Lines:
    upper, middle, lower = bands(frame, period, multiplier, source)
    return {None: [(u - b) / m for u, m, b in zip(upper, middle, lower, strict=True)]}


def keltnerchannels(frame: pd.DataFrame, period: int = 20, atr_period: int = 10, multiplier: float = 2.0) -> Lines:
    ranges = average_true_range(frame, atr_period)
    middle = recursive_average(frame["close"].tolist(), period)
    pairs = [(NAN if math.isnan(r) else m, multiplier * r) for m, r in zip(middle, ranges, strict=True)]
    return {"upper": [m + r for m, r in pairs], "middle": [m for m, _ in pairs], "lower": [m - r for m, r in pairs]}


def donchianchannels(frame: pd.DataFrame, period: int = 20) -> Lines:
    high, low = prices(frame, "high", "low")
    upper = from_bar(period - 1, len(high), lambda t: max(high[t - period + 1 : t + 1]))
    lower = from_bar(period - 1, len(high), lambda t: min(low[t - period + 1 : t + 1]))
    return {"upper": upper, "middle": [(u + b) / 2 for u, b in zip(upper, lower, strict=True)], "lower": lower}


def squeezeintensity(frame: pd.DataFrame, **parameters: Any) -> Lines:
    period = parameters.get("period", 20)
    p = {"bb_period": period, "bb_multiplier": 2.0, "kc_period": period, "kc_multiplier": 2.0, "source": "close"}
    p |= parameters
    upper, _, lower = bands(frame, p["bb_period"], p["bb_multiplier"], p["source"])
    channels = keltnerchannels(frame, p["kc_period"], 10, p["kc_multiplier"])
    rows = zip(channels["upper"], upper, lower, channels["lower"], strict=True)
    return {
        None: [
            NAN if math.isnan(top + up) else max(0.0, min((top - up) / (top - end), (low - end) / (top - end)))
            for top, up, low, end in rows
        ]
    }


def supertrend(frame: pd.DataFrame, period: int = 10, multiplier: float = 3.0) -> Lines:
    high, low, close = prices(frame, "high", "low", "close")
    ranges = average_true_range(frame, period)
    upper, lower, trend, direction = ([NAN] * len(close) for _ in range(4))
    for t in range(period, len(close)):
        middle = (high[t] + low[t]) / 2
        upper[t], lower[t] = middle + multiplier * ranges[t], middle - multiplier * ranges[t]
        if t > period:
            if upper[t] >= upper[t - 1] and close[t - 1] <= upper[t - 1]:
                upper[t] = upper[t - 1]
            if lower[t] <= lower[t - 1] and close[t - 1] >= lower[t - 1]:
                lower[t] = lower[t - 1]
        falling = t == period or trend[t - 1] == upper[t - 1]
        direction[t] = (1.0 if close[t] > upper[t] else -1.0) if falling else (-1.0 if close[t] < lower[t] else 1.0)
        trend[t] = lower[t] if direction[t] > 0 else upper[t]
    return {"trend": trend, "direction": direction}


def parabolicsar(frame: pd.DataFrame, initial_af: float = 0.02, step_af: float = 0.02, max_af: float = 0.2) -> Lines:
    """Wilder's stop and reverse (New Concepts in Technical Trading Systems, 1978), bar by bar.

    Wilder begins with the extreme point of a trade before, which a series of bars has not; so how to begin is a
    convention. Here it is that which TA-Lib's ta_SAR.c states, and ascribes to Metastock too: the first bar has no
    stop, the first stop is its low or high; the trade is long unless the second bar's -DM is above 0 (it falls by more
    than it rises), so that a tie is long. The lines here were first fitted to TA-Lib's output on these bars, and then
    held against that file's text, step by step: they say the same.
    """
    high, low = prices(frame, "high", "low")
    fall = low[0] - low[1]
    rising = not (fall > 0 and fall > high[1] - high[0])
    stop, extreme, factor = (low[0], high[1], initial_af) if rising else (high[0], low[1], initial_af)
    out = [NAN]
    for t in range(1, len(high)):
        last = slice(max(t - 1, 1), t + 1)  # the first bar has set the first stop, and holds no later one back
        if (low[t] <= stop) if rising else (high[t] >= stop):
            rising = not rising
            stop = min(extreme, *low[last]) if rising else max(extreme, *high[last])
            factor, extreme = initial_af, high[t] if rising else low[t]
            out.append(stop)
        else:
            out.append(stop)
            if (high[t] > extreme) if rising else (low[t] < extreme):
                extreme, factor = high[t] if rising else low[t], min(factor + min(step_af, max_af), max_af)
        stop += factor * (extreme - stop)
        stop = min(stop, *low[last]) if rising else max(stop, *high[last])
    return {None: out}


def ichimoku(frame: pd.DataFrame, **parameters: int) -> Lines:
    p = {"tenkan_period": 9, "kijun_period": 26, "senkou_b_period": 52, "displacement": 26} | parameters
    high, low = prices(frame, "high", "low")
    count, ahead = len(high), p["displacement"]

    def middle(period: int, t: int) -> float:
        if t < period - 1:
            return NAN
        return (max(high[t - period + 1 : t + 1]) + min(low[t - period + 1 : t + 1])) / 2

    def both(t: int) -> float:
        return (middle(p["tenkan_period"], t) + middle(p["kijun_period"], t)) / 2

    return {
        "tenkan": from_bar(0, count, lambda t: middle(p["tenkan_period"], t)),
        "kijun": from_bar(0, count, lambda t: middle(p["kijun_period"], t)),
        "senkou_a": from_bar(ahead, count, lambda t: both(t - ahead)),
        "senkou_b": from_bar(ahead, count, lambda t: middle(p["senkou_b_period"], t - ahead)),
    }


def wma(frame: pd.DataFrame, period: int = 20, source: str = "close") -> Lines:
    (price,) = prices(frame, source)
    weights = range(1, period + 1)

    def value(t: int) -> float:
        window = price[t - period + 1 : t + 1]
        return sum(w * p for w, p in zip(weights, window, strict=True)) / sum(weights)

    return {None: from_bar(period - 1, len(price), value)}


def distancefromma(frame: pd.DataFrame, period: int = 20, ma_type: str = "SMA", source: str = "close") -> Lines:
    (price,) = prices(frame, source)
    fading = 1 - 2 / (period + 1)

    def value(t: int) -> float:
        weights = [fading**lag for lag in range(t + 1)] if ma_type == "EMA" else [1.0] * period
        total = sum(w * price[t - lag] for lag, w in enumerate(weights))
        return 100 * (price[t] * sum(weights) / total - 1)

    return {None: from_bar(period - 1, len(price), value)}


def obv(frame: pd.DataFrame) -> Lines:
    close, volume = prices(frame, "close", "volume")
    out = volume[:1]
    for t in range(1, len(close)):
        out.append(out[-1] + volume[t] * ((close[t] > close[t - 1]) - (close[t] < close[t - 1])))
    return {None: out}


def vwap(frame: pd.DataFrame, period: int = 20, use_typical_price: bool = True) -> Lines:
    price, volume = typical(frame) if use_typical_price else frame["close"].tolist(), frame["volume"].tolist()

    def value(t: int) -> float:
        bars = slice(max(t - period + 1, 0) if period else 0, t + 1)
        traded = sum(volume[bars])
        weights = volume[bars] if traded else [1.0] * len(volume[bars])
        return sum(w * p for w, p in zip(weights, price[bars], strict=True)) / sum(weights)

    return {None: from_bar(max(period - 1, 0), len(price), value)}


def mfi(frame: pd.DataFrame, period: int = 14) -> Lines:
    price, volume = typical(frame), frame["volume"].tolist()

    def value(t: int) -> float:
        bars = range(t - period + 1, t + 1)
        rising = sum(price[b] * volume[b] for b in bars if price[b] > price[b - 1])
        falling = sum(price[b] * volume[b] for b in bars if price[b] < price[b - 1])
        return 100 - 100 / (1 + rising / falling) if falling else 100.0 if rising else 50.0

    return {None: from_bar(period, len(price), value)}


def flow(frame: pd.DataFrame) -> tuple[list[float], list[float]]:
    rows = zip(*prices(frame, "high", "low", "close"), strict=True)
    multiplier = [(2 * close - high - low) / (high - low) if high > low else 0.0 for high, low, close in rows]
    return multiplier, [m * v for m, v in zip(multiplier, frame["volume"], strict=True)]


def cmf(frame: pd.DataFrame, period: int = 21) -> Lines:
    multiplier, money = flow(frame)
    volume = frame["volume"].tolist()
    count = len(volume)

    def value(t: int) -> float:
        traded = sum(volume[t - period + 1 : t + 1])
        return sum(money[t - period + 1 : t + 1]) / traded if traded else 0.0

    index = from_bar(period - 1, count, value)
    signal = recursive_average(index, 9)
    return {
        "cmf": index,
        "mf_multiplier": multiplier,
        "mf_volume": money,
        "momentum": from_bar(period + 4, count, lambda t: index[t] - index[t - 5]),
        "signal": signal,
        "histogram": [i - s for i, s in zip(index, signal, strict=True)],
        "above_zero": from_bar(period - 1, count, lambda t: 1.0 if index[t] > 0 else 0.0),
        "below_zero": from_bar(period - 1, count, lambda t: 1.0 if index[t] < 0 else 0.0),
    }


def adline(frame: pd.DataFrame, use_sma_smoothing: bool = False, smoothing_period: int = 21) -> Lines:
    multiplier, money = flow(frame)
    line = pd.Series(talib.AD(*(frame[name].to_numpy() for name in ("high", "low", "close", "volume"))))
    recent = pd.Series(from_bar(19, len(line), lambda t: float(np.mean(line.to_numpy()[max(t - 49, 0) : t + 1]))))
    return {
        "line": line.rolling(smoothing_period).mean() if use_sma_smoothing else line,
        "mf_multiplier": multiplier,
        "mf_volume": money,
        "roc_10": 100 * line.pct_change(10),
        "momentum_21": line.diff(21),
        "relative_strength": 100 * (line / recent - 1),
    }


def volumeratio(frame: pd.DataFrame, period: int = 20) -> Lines:
    return {None: frame["volume"] / frame["volume"].rolling(period).mean()}
