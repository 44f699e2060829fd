"""The leaderboard as a page that is whole in itself: a table that sorts, Sharpe ratios against trials and drawdown."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import plotly.graph_objects as go
from plotly.graph_objects import Figure

from client.leaderboard import Board, Ranked, in_words
from client.render_results import interval
from client.render_values import NONE, count, moment, number, percent
from client.report_html import Html, joined, listing, paragraph, tag, text
from client.report_page import Plot, Section, page
from client.report_plots import AMBER, BLUE, GREEN, GREY, RED, figure, label
from domain.results import Verdict
from engine.statistics import expected_max_sharpe

COLOURS = {Verdict.PROMISING: GREEN, Verdict.NEUTRAL: BLUE, Verdict.POOR: RED, None: GREY}

SORT = """
(() => {
  const table = document.querySelector("table.board");
  if (!table) return;
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const value = (row, place) => row.cells[place].dataset.value;
  heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
    const compare = (one, other) => {
      const left = value(one, place), right = value(other, place);
      if (left === "" || right === "") return (left === "") - (right === "");
      if (head.className === "figure") return (Number(left) - Number(right)) * down;
      return left.localeCompare(right) * down;
    };
    heads.forEach(each => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
    body.append(...[...body.rows].sort(compare));
  }));
})();
"""


@dataclass(frozen=True)
class _Column:
    """value: what sorts, None for what there is not; shown: what is read."""

    name: str
    value: Callable[[Ranked], float | str | None]
    shown: Callable[[Ranked], str]
    words: bool = False


COLUMNS = (
    _Column("rank", lambda row: row.rank, lambda row: str(row.rank)),
    _Column("strategy", lambda row: row.name, lambda row: row.name, words=True),
    _Column("bars", lambda row: row.bars, lambda row: row.bars, words=True),
    _Column("verdict", lambda row: _said(row), lambda row: _said(row), words=True),
    _Column("Sharpe", lambda row: row.sharpe_ratio, lambda row: number(row.sharpe_ratio)),
    _Column(
        "95 % interval",
        lambda row: row.sharpe_interval.low if row.sharpe_interval else None,
        lambda row: interval(row.sharpe_interval),
    ),
    _Column("excess, deflated", lambda row: row.deflated_low, lambda row: number(row.deflated_low)),
    _Column("return", lambda row: row.total_return, lambda row: percent(row.total_return)),
    _Column("drawdown", lambda row: row.max_drawdown, lambda row: percent(row.max_drawdown)),
    _Column("trades", lambda row: row.total_trades, lambda row: count(row.total_trades)),
    _Column("trials", lambda row: row.trials, lambda row: count(row.trials)),
    _Column("cycle", lambda row: row.cycle_id, lambda row: row.cycle_id, words=True),
)


def leaderboard_page(board: Board, folder: Path) -> str:
    """The page; its links to reports are as seen from the folder that it will lie in."""
    rows = board.rows
    head = [tag("h1", text("Leaderboard")), listing("The best, and of how many", in_words(board))]
    if not rows:
        head.append(paragraph("There are no such backtests yet.", "missing"))
    sections = []
    if rows:
        told = "Excess, deflated: the lower bound of the excess Sharpe ratio less the luck of the best of all trials."
        sections = [
            Section("Ranking", (_table(rows, folder), paragraph(told, "soft"))),
            Section(
                "Sharpe against the number of trials",
                (
                    paragraph("The line is what the best of so many would show by luck alone.", "soft"),
                    Plot(trials_figure(rows), "Sharpe ratio by the number of trials known when it was measured"),
                ),
            ),
            Section(
                "Sharpe against drawdown",
                (Plot(drawdown_figure(rows), "Sharpe ratio by the largest fall from a peak"),),
            ),
        ]
    foot = f"Made {moment(datetime.now(UTC))} by `research leaderboard`, ranked by {board.asked.sort}."
    return page("Leaderboard", joined(head), sections, foot, SORT)


def _said(row: Ranked) -> str:
    return row.verdict.value if row.verdict else row.outcome.value if row.outcome else NONE


def _table(rows: Sequence[Ranked], folder: Path) -> Html:
    heads = (
        Html(
            f'<th scope="col" class="{"words" if column.words else "figure"}">'
            f'<button type="button">{text(column.name)}</button></th>'
        )
        for column in COLUMNS
    )
    lines = (tag("tr", joined(_cell(row, column, folder) for column in COLUMNS)) for row in rows)
    table = tag("table", joined([tag("thead", tag("tr", joined(heads))), tag("tbody", joined(lines))]), "board")
    return tag("div", table, "scrolls")


def _cell(row: Ranked, column: _Column, folder: Path) -> Html:
    value, shown = column.value(row), text(column.shown(row))
    if column.name == "cycle" and row.report:
        there = quote(Path(os.path.relpath(row.report, folder)).as_posix())
        shown = Html(f'<a href="{there}">{shown}</a>')
    kind = "" if column.words else ' class="figure"'
    return Html(f'<td{kind} data-value="{text("" if value is None else str(value))}">{shown}</td>')


def trials_figure(rows: Sequence[Ranked]) -> Figure:
    """Each backtest over the number of trials known then, and the luck of the best of so many."""
    drawn = _scatter(rows, lambda row: row.trial, "trials known when it was measured", "")
    for bars in sorted({row.bars for row in rows}):
        of_these = [row for row in rows if row.bars == bars]
        most = max(max(row.trials, row.trial) for row in of_these)
        years = max(row.years for row in of_these)
        if years <= 0:
            continue
        counts = sorted({round(most ** (step / 60)) for step in range(61)})
        line = {"color": AMBER, "dash": "dash", "width": 2}
        by_luck = [expected_max_sharpe(number, years) for number in counts]
        drawn.add_trace(go.Scatter(x=counts, y=by_luck, name=f"luck, {label(bars)}", mode="lines+markers", line=line))
    drawn.update_traces(marker={"size": 3}, selector={"mode": "lines+markers"})
    drawn.update_xaxes(rangemode="tozero")
    return drawn


def drawdown_figure(rows: Sequence[Ranked]) -> Figure:
    """Each backtest over its largest fall."""
    drawn = _scatter(rows, lambda row: row.max_drawdown, "max drawdown", ".1%")
    drawn.update_xaxes(rangemode="tozero")
    return drawn


def _scatter(rows: Sequence[Ranked], across: Callable[[Ranked], float], name: str, ticks: str) -> Figure:
    drawn = figure(400, hovermode="closest")
    known = [row for row in rows if row.sharpe_ratio is not None]
    for verdict, colour in COLOURS.items():
        shown = [row for row in known if row.verdict is verdict]
        if not shown:
            continue
        points = go.Scatter(
            x=[across(row) for row in shown],
            y=[row.sharpe_ratio for row in shown],
            text=[f"{label(row.name)}, {label(row.bars)}<br>{label(row.cycle_id)}" for row in shown],
            name=verdict.value if verdict else "not assessed",
            mode="markers",
            marker={"color": colour, "size": 9, "opacity": 0.85},
            hovertemplate="%{text}<br>Sharpe %{y:.2f}<extra></extra>",
        )
        drawn.add_trace(points)
    drawn.update_xaxes(title=name, tickformat=ticks or None)
    drawn.update_yaxes(title="Sharpe ratio, net", zeroline=True)
    drawn.update_layout(margin={"l": 52, "r": 14, "t": 10, "b": 44})
    return drawn
