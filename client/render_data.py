"""Sets of bars as people read them. Pure functions."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table

from client.render_values import clean, count
from engine.bars import BarsInfo


def render_bars(sets: Sequence[BarsInfo]) -> RenderableType:
    """One line a set."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("symbol", "timeframe"):
        table.add_column(name, no_wrap=True, overflow="ignore")
    table.add_column("bars", justify="right", overflow="fold")
    for name in ("first (UTC)", "last (UTC)", "class"):
        table.add_column(name, no_wrap=True)
    table.add_column("source", overflow="fold")
    for bars in sets:
        source = clean(bars.source)
        table.add_row(
            bars.symbol,
            bars.timeframe,
            count(bars.bars),
            f"{bars.start:%Y-%m-%d %H:%M}",
            f"{bars.end:%Y-%m-%d %H:%M}",
            bars.asset_class.value,
            f"SYNTHETIC: {source}" if bars.synthetic else source,
        )
    return table
