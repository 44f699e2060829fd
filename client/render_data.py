"""Sets of bars as people read them. Pure functions."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from client.render_values import clean, count
from engine.bars import BarsInfo
from engine.bars_report import BarsReport


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


def render_report(report: BarsReport) -> RenderableType:
    """What is in the bars: figures first, then each hole and spike that is shown, then what refuses or is odd."""
    name = f"{report.symbol or report.source} {report.timeframe} ({report.asset_class.value})"
    state = "can be used" if report.usable else f"cannot be used, {count(report.problems_found)} problem(s)"
    figures = Table.grid(padding=(0, 2, 0, 0))
    figures.add_column(no_wrap=True)
    figures.add_column(overflow="fold")
    span = f", {report.start:%Y-%m-%d %H:%M} .. {report.end:%Y-%m-%d %H:%M} UTC" if report.start and report.end else ""
    rows = (
        ("bars", f"{count(report.bars)}{span}"),
        ("market closed", f"{count(report.closures)} nights, weekends or pauses, which are no holes"),
        ("holes", f"{count(report.holes_found)}, {count(report.bars_missing)} bars missing"),
        ("duplicates", count(report.duplicates)),
        ("out of order", count(report.out_of_order)),
        ("prices not above 0", count(report.prices_not_above_zero)),
        ("high or low wrong", count(report.ranges_wrong)),
        ("spikes", f"{count(report.spikes_found)} returns beyond 10 robust deviations"),
        ("without volume", count(report.without_volume)),
    )
    for label, words in rows:
        figures.add_row(Text(label, style="dim"), Text(words))
    lines = [
        *(
            f"  hole {hole.after:%a %Y-%m-%d %H:%M} .. {hole.before:%a %Y-%m-%d %H:%M} UTC, {count(hole.missing)} "
            f"missing{', probably a holiday' if hole.holiday else ''}"
            for hole in report.holes
        ),
        *(
            f"  spike {spike.time:%a %Y-%m-%d %H:%M} UTC, {spike.change:+.2%}, {spike.deviations:.0f} deviations"
            for spike in report.spikes
        ),
        *(f"  note: {remark}" for remark in report.remarks),
        *(f"  problem: {problem}" for problem in report.problems),
    ]
    return Group(Text(f"{clean(name)}: {state}"), figures, *(Text(clean(line)) for line in lines))
