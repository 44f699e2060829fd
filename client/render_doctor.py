"""What `research doctor` found, as people read it. Pure functions."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from client.doctor import Look, State
from client.render_values import clean

STATE_STYLES = {State.OK: "green", State.WARNING: "yellow", State.NOT_USED: "dim", State.TO_DO: "red"}


def render_looks(looks: Sequence[Look]) -> RenderableType:
    """One row a piece; below what was found, what to do."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(2):
        table.add_column(no_wrap=True, overflow="ignore")
    table.add_column(overflow="fold")
    for look in looks:
        text = clean(look.found) if look.mend is None else f"{clean(look.found)}\n  next: {clean(look.mend)}"
        table.add_row(Text(look.state.value, STATE_STYLES[look.state]), look.name, text)
    return table
