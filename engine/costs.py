"""What trading costs where a job says nothing else."""

from typing import Final

from engine.bars import AssetClass

DEFAULT_COSTS: Final = {
    AssetClass.FX: (0.00002, 0.00003),
    AssetClass.EQUITY: (0.0001, 0.0001),
    AssetClass.INDEX: (0.0001, 0.0001),
}
"""Commission and half the spread on every fill, as fractions of the price."""


def round_trip(asset_class: AssetClass) -> float:
    """What going in and out costs by default, as a fraction of the price: two fills."""
    return 2 * sum(DEFAULT_COSTS[asset_class])
