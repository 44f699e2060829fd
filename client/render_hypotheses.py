"""Hypotheses as people read them. Pure functions."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from client.render_values import NONE, clean
from domain.memory import HypothesisRecord
from domain.results import HypothesisStatus

STATUS_STYLES = {
    HypothesisStatus.UNTESTED: "dim",
    HypothesisStatus.VALIDATED: "green",
    HypothesisStatus.REFUTED: "yellow",
    HypothesisStatus.INCONCLUSIVE: "cyan",
}


def render_hypotheses(found: Sequence[HypothesisRecord]) -> RenderableType:
    """One row a hypothesis, newest first, with the cycle that raised it and the one that tested it last."""
    if not found:
        return Text("no such hypotheses yet: assessments raise them", "dim")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("id", "status", "bars", "raised by", "settled by"):
        table.add_column(name, no_wrap=True, overflow="ignore")
    table.add_column("hypothesis", overflow="fold")
    for each in found:
        text = each.text if each.why is None else f"{each.text}\n{each.status.value}: {each.why}"
        table.add_row(
            each.id,
            Text(each.status.value, STATUS_STYLES[each.status]),
            f"{each.symbol} {each.timeframe}",
            clean(each.raised_by),
            clean(each.settled_by or NONE),
            clean(text),
        )
    return table
