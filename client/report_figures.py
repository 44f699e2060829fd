"""The plots of a backtest: equity and drawdown, trades on the price, months, and the doubt about the Sharpe ratio."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import accumulate

import plotly.graph_objects as go
from plotly.graph_objects import Figure
from plotly.subplots import make_subplots

from client.render_values import count, number
from client.report_files import Equity, Trade
from client.report_plots import AMBER, BLUE, GREEN, GREY, RED, TEAL, VIOLET, curve, figure, stamp
from domain.results import BacktestResult, Interval

MOST_TRADES = 500
"""Shown on one price curve; more of them would hide it."""

MANY_TRADES = 60
"""More of them get smaller marks."""

HEAT = ((0.0, "rgba(217,83,79,0.75)"), (0.5, "rgba(138,143,152,0.12)"), (1.0, "rgba(46,158,91,0.75)"))
"""From loss to gain; the page shows through, so that its own text colour can be read on it."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def equity_figure(equity: Equity) -> Figure:
    """Equity net and gross beside buy and hold, and below it how far the net equity is under its highest."""
    drawn = figure(460, hovermode="x unified")
    make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.05, figure=drawn)
    drawn.add_trace(curve(equity.times, equity.hold, "buy and hold", GREY, dash="dot"), row=1, col=1)
    drawn.add_trace(curve(equity.times, equity.gross, "gross", TEAL), row=1, col=1)
    drawn.add_trace(curve(equity.times, equity.net, "net of costs", BLUE, width=2.2), row=1, col=1)
    under = curve(equity.times, drawdown(equity.net), "drawdown, net", RED, fill="tozeroy", showlegend=False)
    drawn.add_trace(under, row=2, col=1)
    drawn.update_yaxes(title="capital = 1", row=1, col=1)
    drawn.update_yaxes(title="drawdown", tickformat=".0%", row=2, col=1)
    return drawn


def drawdown(values: Sequence[float]) -> list[float]:
    """How far each value is under the highest so far, as a fraction, 0 or below; capital begins at 1."""
    highest = list(accumulate(values, max, initial=1.0))[1:]
    return [value / high - 1 for value, high in zip(values, highest, strict=True)]


def trades_figure(equity: Equity, trades: Sequence[Trade]) -> Figure:
    """The price at each open with where trades began and ended; the price itself where a trade tells of it.

    Of more than MOST_TRADES those that gained or lost most are shown. Trades of several symbols have no one price: they
    stand on what holding all of them would be worth.
    """
    times = {time: place for place, time in enumerate(equity.times)}
    if len({one.symbol for one in trades}) > 1:
        known = [one for one in trades if one.entered in times and one.left in times]
        at = {time: equity.hold[place] for time, place in times.items()}
        trades = [replace(one, entry_price=at[one.entered], exit_price=at[one.left]) for one in known]
    scale = next((one.entry_price / equity.hold[times[one.entered]] for one in trades if one.entered in times), 1.0)
    shown = most_moving(trades)
    size = 6 if len(shown) <= MANY_TRADES else 4
    drawn = figure(420)
    drawn.add_trace(curve(equity.times, [value * scale for value in equity.hold], "price", GREY))
    for name, won, colour in (("gained", True, GREEN), ("lost", False, RED)):
        lines = [one for one in shown if (one.profit > 0) is won]
        if lines:
            drawn.add_trace(_held(lines, name, colour))
    for name, long, symbol, colour in (
        ("long", True, "triangle-up", BLUE),
        ("short", False, "triangle-down", VIOLET),
    ):
        entries = [one for one in shown if one.long is long]
        if entries:
            marks = _marks([(one.entered, one.entry_price) for one in entries], name, symbol, colour, size + 2)
            drawn.add_trace(marks)
    if shown:
        drawn.add_trace(_marks([(one.left, one.exit_price) for one in shown], "closed", "circle-open", AMBER, size))
    drawn.update_yaxes(title="price" if scale != 1.0 else "buy and hold = 1")
    return drawn


def most_moving(trades: Sequence[Trade]) -> list[Trade]:
    """The MOST_TRADES that gained or lost most, in the order of their entries."""
    chosen = sorted(trades, key=lambda one: abs(one.profit), reverse=True)[:MOST_TRADES]
    return sorted(chosen, key=lambda one: one.entered)


def _held(trades: Sequence[Trade], name: str, colour: str) -> go.Scatter:
    """A line from each entry to its exit; what parts two of them is a point that is none."""
    times: list[str | None] = []
    prices: list[float | None] = []
    told: list[str] = []
    for one in trades:
        times += [stamp(one.entered), stamp(one.left), None]
        prices += [one.entry_price, one.exit_price, None]
        told += [f"{one.symbol} {'long' if one.long else 'short'}, {one.return_net * 100:+.2f} % net"] * 3
    line = {"color": colour, "width": 2}
    return go.Scatter(
        x=times, y=prices, text=told, name=name, mode="lines", line=line, hovertemplate="%{text}<extra></extra>"
    )


def _marks(points: Sequence[tuple[datetime, float]], name: str, symbol: str, colour: str, size: int) -> go.Scatter:
    marker = {"symbol": symbol, "color": colour, "size": size, "line": {"width": 1, "color": colour}}
    return go.Scatter(
        x=[stamp(time) for time, _ in points],
        y=[price for _, price in points],
        name=name,
        mode="markers",
        marker=marker,
    )


def monthly_returns(equity: Equity) -> dict[tuple[int, int], float | None]:
    """The net return of each month (year, month) of UTC that the curve touches, a fraction; None once nothing is left.

    The first and last month are as long as the backtest has of them.
    """
    last = {(time.year, time.month): value for time, value in zip(equity.times, equity.net, strict=True)}
    before = [1.0, *last.values()]
    return {
        month: value / start - 1 if start > 0 else None
        for (month, value), start in zip(last.items(), before, strict=False)
    }


def months_figure(equity: Equity) -> Figure:
    """A heat map of the net returns: a row a month and a column a year, so that a phone can show the figures too."""
    returns = monthly_returns(equity)
    years = sorted({year for year, _ in returns})
    cells = [[returns.get((year, month)) for year in years] for month in range(1, 13)]
    most = max((abs(value) for value in returns.values() if value is not None), default=0.0) or 0.01
    drawn = figure(346)
    drawn.add_trace(
        go.Heatmap(
            x=[str(year) for year in years],
            y=MONTHS,
            z=cells,
            text=[["" if value is None else f"{value * 100:+.1f}" for value in row] for row in cells],
            texttemplate="%{text}",
            hovertemplate="%{y} %{x}: %{text} %<extra></extra>",
            hoverongaps=False,
            zmin=-most,
            zmax=most,
            colorscale=HEAT,
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    drawn.update_xaxes(showgrid=False, side="top", type="category", fixedrange=True)
    drawn.update_yaxes(showgrid=False, autorange="reversed", fixedrange=True)
    drawn.update_layout(margin={"l": 40, "r": 10, "t": 26, "b": 8})
    return drawn


def sharpe_figure(result: BacktestResult) -> Figure:
    """The Sharpe ratio with its interval, the excess one's, and what they have to be held against."""
    rows: list[tuple[str, float | None, Interval | None, str]] = [
        ("excess,<br>net", result.excess_sharpe, result.excess_sharpe_interval, TEAL),
        ("Sharpe,<br>gross", result.gross.sharpe_ratio if result.gross else None, None, GREY),
        ("Sharpe,<br>net", result.sharpe_ratio, result.sharpe_interval, BLUE),
    ]
    rows = [row for row in rows if row[1] is not None or row[2] is not None]
    drawn = figure(170 + 58 * len(rows), showlegend=True)
    for place, (name, value, interval, colour) in enumerate(rows):
        drawn.add_trace(_ratio(place, name.replace("<br>", " "), value, interval, colour))
    ends = [-0.6, max(len(rows), 1) - 0.4]
    lines = (
        (f"luck of the best of {count(result.trials)}: {number(result.expected_max_sharpe)}", AMBER, "dash"),
        (f"least that is provable here: {number(result.minimum_provable_sharpe)}", VIOLET, "dot"),
    )
    for value, (name, colour, dash) in zip(
        (result.expected_max_sharpe, result.minimum_provable_sharpe), lines, strict=True
    ):
        line = {"color": colour, "dash": dash, "width": 2}
        drawn.add_trace(go.Scatter(x=[value, value], y=ends, name=name, mode="lines", line=line))
    drawn.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=[row[0] for row in rows], range=ends, showgrid=False, zeroline=False
    )
    drawn.update_xaxes(title="annualised ratio", zeroline=True, range=_all_of(rows, result))
    drawn.update_layout(margin={"l": 62, "r": 14, "t": 10, "b": 44})
    return drawn


def _all_of(rows: Sequence[tuple[str, float | None, Interval | None, str]], result: BacktestResult) -> list[float]:
    """From the lowest to the highest of all that is drawn, with nought among it and some room at both ends."""
    points = [0.0, result.expected_max_sharpe, result.minimum_provable_sharpe]
    points += [value for _, value, _, _ in rows if value is not None]
    points += [end for _, _, interval, _ in rows if interval for end in (interval.low, interval.high)]
    room = (max(points) - min(points) or 1.0) * 0.06
    return [min(points) - room, max(points) + room]


def _ratio(place: int, name: str, value: float | None, interval: Interval | None, colour: str) -> go.Scatter:
    """A point with its 95 % interval; the interval's middle where there is no value."""
    at = value if value is not None else (interval.low + interval.high) / 2 if interval else 0.0
    bars = None
    if interval:
        # A percentile interval need not hold its own estimate; a bar cannot have a negative length.
        lengths = {"array": [max(interval.high - at, 0.0)], "arrayminus": [max(at - interval.low, 0.0)]}
        bars = {"type": "data", "symmetric": False, "color": colour, "thickness": 3, "width": 8} | lengths
    return go.Scatter(
        x=[at],
        y=[place],
        error_x=bars,
        name=name,
        mode="markers",
        marker={"size": 11, "color": colour},
        showlegend=False,
        hovertemplate=f"{name} {number(value)}"
        + (f", {interval.low:.2f} to {interval.high:.2f}" if interval else "")
        + "<extra></extra>",
    )
