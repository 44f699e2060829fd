"""Twenty strategy files over the whole grammar, and what the embedded engine lacks for each of them."""

from collections.abc import Mapping
from pathlib import Path

FILES = Path(__file__).parent / "files"

LACKS: Mapping[str, tuple[str, ...]] = {
    "Squeeze_Breakout_Majors": (),
    "Trend-Following_2025": (),
    "basket_gru_quarter_hour": (),
    "bounded_return_lstm": (
        "context_data: fred",
        "indicators.yield_ema.data_source: DGS10",
        "model.architecture.output_activation: tanh",
        "training_data.timeframes: 15m beside the base timeframe 1h, which is coarser",
    ),
    "carry_and_positioning": (
        "context_data: ib, fred, cftc_cot",
        "indicators.crowd.data_source: cot_EUR_net_pct",
        "indicators.gbp_rsi.data_source: GBPUSD",
        "indicators.spread_rsi.data_source: yield_spread_DGS2_IRLTLT01DEM156N",
    ),
    "daily_bias_seed": ("training.labels.source: context",),
    "ema_ribbon_pullback": (),
    "five_minute_entries": ("training_data.timeframes: 5m beside the base timeframe 1h, which is coarser",),
    "gru_weekly_tide": (),
    "half_hour_reversion": (),
    "ichimoku_cloud_4h": (),
    "lstm_session_momentum": (),
    "minute_fade_scalper": (),
    "oscillator_committee": (),
    "position_trader_weekly": (),
    "regime_switch_seed": ("training.labels.source: regime",),
    "sigmoid_votes": ("model.architecture.output_activation: sigmoid",),
    "swing_regression_mse": (),
    "turtle_channels": (),
    "volume_tells": (),
}
"""By the file's name: all that no part of this engine can do, in order of the alphabet; nothing where it trains."""

TRAINABLE = tuple(name for name, lacks in LACKS.items() if not lacks)


def text_of(name: str) -> str:
    """A file's text."""
    return (FILES / f"{name}.yaml").read_text(encoding="utf-8")
