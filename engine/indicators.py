"""Indicators: one table from the grammar's type to the function that computes it, by TA-Lib where it has it.

A value on bar t uses bars up to t alone, and the same bars from the same first bar give the same bits whatever
follows them. Leading bars without a value are NaN, and they alone: bars without range or volume have values.
The functions and their units are in the rooms of momentum, trend, volatility and volume.
"""

from collections.abc import Mapping

import pandas as pd

from domain.errors import ErrorCode, ResearchError
from domain.strategy import Indicator
from engine.indicators_columns import Column, Compute, Outputs
from engine.indicators_momentum import MOMENTUM
from engine.indicators_trend import TREND
from engine.indicators_volatility import VOLATILITY
from engine.indicators_volume import VOLUME

__all__ = ["TABLE", "Column", "Outputs", "compute"]


def compute(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Every output of an indicator over bars (columns open, high, low, close, volume), one value a bar.

    Outputs that look ahead are not among them. Raises ResearchError INVALID_STRATEGY for a type that this engine does
    not compute.
    """
    function = TABLE.get(indicator.type)
    if function is None:
        raise ResearchError(
            ErrorCode.INVALID_STRATEGY,
            f"indicators.{indicator.id}: the embedded engine does not compute {indicator.type}; "
            f"it computes {', '.join(sorted(TABLE))}.",
        )
    return function(indicator, frame)


TABLE: Mapping[str, Compute] = {**MOMENTUM, **TREND, **VOLATILITY, **VOLUME}
"""What this engine computes, by the grammar's canonical type."""
