"""The leaderboard as people read it. Pure functions."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from client.leaderboard import Board, Ranked, in_words
from client.render_results import VERDICT_STYLES, interval
from client.render_values import NONE, clean, count, number, percent

EXPLAINED = "excess, deflated: lower bound of the Sharpe ratio beyond buy and hold, less the luck of so many trials"


def render_leaderboard(board: Board) -> RenderableType:
    """One row a backtest, the best first, and below them of how many trials the best is the best."""
    if not board.rows:
        return Text("no such backtests yet", "dim")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    # What overflows is not justified, so only words may: the rows are drawn wide.
    table.add_column("", justify="right", overflow="fold")
    for name in ("strategy", "bars", "verdict"):
        table.add_column(name, no_wrap=True, overflow="ignore")
    for name in ("Sharpe", "95 % interval", "excess, deflated", "return", "drawdown", "trades", "trials"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("cycle", no_wrap=True, overflow="ignore")
    for row in board.rows:
        table.add_row(*_cells(row))
    told = (Text(clean(words), "bold") for words in in_words(board))
    return Group(table, *told, Text(EXPLAINED, "dim"))


def _cells(row: Ranked) -> tuple[str | Text, ...]:
    # Without a verdict a gate has stopped it, or it broke after its backtest.
    said = Text(row.verdict.value, VERDICT_STYLES[row.verdict]) if row.verdict else Text(NONE)
    if row.verdict is None and row.outcome:
        said = Text(row.outcome.value, "dim")
    return (
        str(row.rank),
        clean(row.strategy or NONE),
        row.bars,
        said,
        number(row.sharpe_ratio),
        interval(row.sharpe_interval),
        number(row.deflated_low),
        percent(row.total_return),
        percent(row.max_drawdown),
        count(row.total_trades),
        count(row.trials),
        clean(row.cycle_id),
    )
