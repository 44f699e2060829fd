"""What the offline designer can propose: its parameters, and the strategy that a choice of them stands for.

Everything that depends on the price (fuzzy sets, thresholds of labels) is measured on the train part of the bars, so a
design knows nothing of the validation and backtest parts. Indicators in units of the price are taken as their ratio to
the close, which keeps its meaning while prices drift.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from domain.results import Frozen
from domain.strategy import (
    CostModel,
    Decisions,
    EarlyStopping,
    Filters,
    ForwardReturnLabels,
    FuzzyInput,
    FuzzySet,
    Indicator,
    InputTransform,
    Membership,
    Mlp,
    NetworkInput,
    PlateauSchedule,
    RawInput,
    Strategy,
    Training,
    TrainingData,
    ZigzagLabels,
)
from engine.bars import AssetClass
from engine.costs import round_trip
from engine.indicators import compute

Trend = Literal["macd", "sma", "ema", "adx"]
Oscillator = Literal["rsi", "stochastic", "roc"]
Volatility = Literal["none", "atr", "bollingerbands"]

TRENDS: Final[tuple[Trend, ...]] = ("macd", "sma", "ema", "adx")
OSCILLATORS: Final[tuple[Oscillator, ...]] = ("rsi", "stochastic", "roc")
VOLATILITIES: Final[tuple[Volatility, ...]] = ("none", "atr", "bollingerbands")
LAYERS: Final = {"16": (16,), "32": (32,), "32-16": (32, 16)}

_MAX_ZIGZAG: Final = 0.5
_OUTPUTS: Final[dict[str, tuple[str | None, ...]]] = {
    "macd": ("line", "histogram"),
    "sma": (None,),
    "ema": (None,),
    "adx": ("adx", "plus_di", "minus_di"),
    "rsi": (None,),
    "stochastic": ("k", "d"),
    "roc": (None,),
    "atr": (None,),
    "bollingerbands": ("upper", "lower"),
}
_IN_PRICE_UNITS: Final = frozenset({"macd", "sma", "ema", "atr", "bollingerbands"})


class Choice(Frozen):
    """One point of the space. The designer's memory holds these, as JSON; what does not fit is not read."""

    label: Literal["zigzag", "forward_return"]
    zigzag_multiple: float = Field(ge=6, le=40, description="zigzag threshold in median absolute returns of a bar")
    horizon: int = Field(ge=6, le=48, description="bars that a forward return looks ahead")
    trend: Trend
    trend_period: int = Field(ge=10, le=100)
    oscillator: Oscillator
    oscillator_period: int = Field(ge=7, le=60)
    volatility: Volatility
    volatility_period: int = Field(ge=10, le=60)
    oscillator_input: Literal["raw", "fuzzy"]
    membership: Literal["triangular", "gaussian"]
    layers: Literal["16", "32", "32-16"]
    activation: Literal["relu", "tanh"]
    dropout: float = Field(ge=0, le=0.4)
    learning_rate: float = Field(ge=0.0005, le=0.02)
    focal: bool
    confidence: float = Field(ge=0.35, le=0.7)
    separation: int = Field(ge=4, le=72, description="bars between two changes of the position, at least")
    edge_multiple: float = Field(ge=0, le=4, description="predicted return asked for, in round trips of cost")


@dataclass(frozen=True)
class Ground:
    """The bars that a design stands on: a symbol and timeframe, and the train part alone."""

    symbol: str
    timeframe: str
    asset_class: AssetClass
    train: pd.DataFrame

    @property
    def typical_return(self) -> float:
        """The median of the absolute returns from bar to bar, as a fraction; bars that stood still not counted."""
        close = self.train["close"].to_numpy(dtype=np.float64)
        moves = np.abs(np.diff(np.log(close)))
        return float(np.median(moves[moves > 0])) if moves.any() else 0.0


def strategy_of(choice: Choice, ground: Ground, name: str) -> Strategy:
    """The strategy that the choice stands for on this ground. Trainable by the embedded engine."""
    indicators = _indicators(choice)
    sets: list[FuzzySet] = []
    inputs: list[NetworkInput] = []
    for indicator in indicators:
        raw = choice.oscillator_input == "raw" and indicator.type not in _IN_PRICE_UNITS
        for output in _OUTPUTS[indicator.type]:
            if raw:
                inputs.append(RawInput(indicator=indicator.id, output=output, normalization="zscore"))
            else:
                fuzzy = _fuzzy_set(choice, indicator, output, ground)
                sets.append(fuzzy)
                inputs.append(FuzzyInput(fuzzy_set=fuzzy.id))
    return Strategy(
        name=name,
        description="Proposed by the offline designer.",
        hypothesis=hypothesis_of(choice, ground),
        training_data=TrainingData(
            symbols=(ground.symbol,), timeframes=(ground.timeframe,), base_timeframe=ground.timeframe
        ),
        indicators=indicators,
        fuzzy_sets=tuple(sets),
        nn_inputs=tuple(inputs),
        model=Mlp(hidden_layers=LAYERS[choice.layers], activation=choice.activation, dropout=_rounded(choice.dropout)),
        decisions=_decisions(choice, ground),
        training=_training(choice, ground),
    )


def hypothesis_of(choice: Choice, ground: Ground) -> str:
    """What the strategy claims, so that a backtest can find it false."""
    seen = ", ".join(f"{i.type}({', '.join(str(v) for v in _numbers(i))})" for i in _indicators(choice))
    where = f"On {ground.symbol} {ground.timeframe} a network that sees {seen}"
    if choice.label == "zigzag":
        return (
            f"{where} tells rising from falling segments of a {_threshold(choice, ground) * 100:.3g} % zigzag at least "
            "0.02 better than chance on the validation part, and following it where it is at least "
            f"{choice.confidence:.0%} sure, with {choice.separation} bars between changes, has a Sharpe ratio above 0 "
            "after costs."
        )
    return (
        f"{where} tells the direction of the return over {choice.horizon} bars in at least 52 % of cases on the "
        f"validation part, and following it where it expects more than {choice.edge_multiple:.2g} times the costs, "
        f"with {choice.separation} bars between changes, has a Sharpe ratio above 0 after costs."
    )


def _indicators(choice: Choice) -> tuple[Indicator, ...]:
    chosen = (
        (choice.trend, choice.trend_period),
        (choice.oscillator, choice.oscillator_period),
        (choice.volatility, choice.volatility_period),
    )
    return tuple(
        Indicator(id=f"{kind}_{period}", type=kind, parameters=_parameters(kind, period))
        for kind, period in chosen
        if kind != "none"
    )


def _parameters(kind: str, period: int) -> dict[str, int | float | str | bool]:
    if kind == "macd":
        # The classic 12, 26, 9 scaled to the period, which is the slow one.
        return {
            "fast_period": max(round(period * 12 / 26), 2),
            "slow_period": period,
            "signal_period": max(round(period * 9 / 26), 2),
        }
    return {"k_period": period} if kind == "stochastic" else {"period": period}


def _numbers(indicator: Indicator) -> list[int | float | str | bool]:
    return [value for value in indicator.parameters.values() if isinstance(value, int) and not isinstance(value, bool)]


def _fuzzy_set(choice: Choice, indicator: Indicator, output: str | None, ground: Ground) -> FuzzySet:
    """Low, middle and high, where the train part has its tenth, fiftieth and ninetieth percentile."""
    values = compute(indicator, ground.train)[output]
    relative = indicator.type in _IN_PRICE_UNITS
    if relative:
        values = values / ground.train["close"].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)]
    least, low, middle, high, most = (_rounded(v) for v in np.percentile(values, (0, 10, 50, 90, 100)))
    if choice.membership == "gaussian":
        # A flat indicator has no width of its own; any width above 0 is as good.
        sigma = _rounded(max((high - low) / 4, 1e-6))
        memberships = tuple(
            Membership(name=name, type="gaussian", parameters=(at, sigma))
            for name, at in (("low", low), ("middle", middle), ("high", high))
        )
    else:
        memberships = (
            Membership(name="low", type="trapezoidal", parameters=(least, least, low, middle)),
            Membership(name="middle", type="triangular", parameters=(low, middle, high)),
            Membership(name="high", type="trapezoidal", parameters=(middle, high, most, most)),
        )
    return FuzzySet(
        id=f"{indicator.id}_{output}" if output else indicator.id,
        indicator=indicator.id,
        output=output,
        memberships=memberships,
        input_transform=InputTransform(type="price_ratio", reference="close") if relative else None,
    )


def _decisions(choice: Choice, ground: Ground) -> Decisions:
    filters = Filters(min_signal_separation=choice.separation)
    if choice.label == "zigzag":
        confidence = _rounded(choice.confidence)
        return Decisions(confidence_threshold=confidence, filters=filters, allow_short_from_flat=True)
    cost = CostModel(round_trip_cost=round_trip(ground.asset_class), min_edge_multiplier=_rounded(choice.edge_multiple))
    return Decisions(output_format="regression", cost_model=cost, filters=filters, allow_short_from_flat=True)


def _training(choice: Choice, ground: Ground) -> Training:
    fitting: dict[str, object] = {
        "epochs": 60,
        "batch_size": 128,
        "learning_rate": _rounded(choice.learning_rate),
        "gradient_clip": 1.0,
        "lr_scheduler": PlateauSchedule(),
        "early_stopping": EarlyStopping(patience=10, min_delta=0.0),
    }
    if choice.label == "zigzag":
        labels = ZigzagLabels(zigzag_threshold=_threshold(choice, ground))
        return Training(labels=labels, loss="focal" if choice.focal else "cross_entropy", **fitting)
    # Huber's loss turns from square to straight at a typical return over the horizon.
    delta = _rounded(ground.typical_return * choice.horizon**0.5)
    return Training(labels=ForwardReturnLabels(horizon=choice.horizon), loss="huber", huber_delta=delta, **fitting)


def _threshold(choice: Choice, ground: Ground) -> float:
    return _rounded(min(choice.zigzag_multiple * ground.typical_return, _MAX_ZIGZAG))


def _rounded(value: float) -> float:
    """Four digits: what a person would write, and enough."""
    return float(f"{value:.4g}")
