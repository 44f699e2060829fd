"""The plots of a cycle's other parts: gates, learning curves, fuzzy sets, and what its calls used."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.graph_objects import Figure
from plotly.subplots import make_subplots

from client.audit_calls import Call
from client.report_files import Epoch
from client.report_plots import (
    AMBER,
    BLUE,
    CURVES,
    FAINT_GREEN,
    FAINT_GREY,
    FAINT_RED,
    GREEN,
    GREY,
    RED,
    TEAL,
    VIOLET,
    figure,
    kept,
    label,
)
from domain.cycle import PhaseUsage
from domain.gates import Bound, Check, GateResult
from domain.results import TrainingResult
from domain.strategy import FuzzySet, Membership

ROW = 92
"""Pixels of one check."""

MOST_CALLS = 60
"""Calls that are drawn each by itself."""

CLASSES = (("input", BLUE), ("cache write", VIOLET), ("cache read", TEAL), ("output", AMBER), ("not known", GREY))
"""Tokens as they are billed. Not known: the call may have been billed, and its ceiling counts."""


def gate_figure(gate: GateResult) -> Figure:
    """A bullet a check: the value as a bar, the bound as a line, the side that passes shaded."""
    rows = len(gate.checks)
    drawn = figure(24 + ROW * rows, showlegend=False, bargap=0.35)
    make_subplots(rows=rows, cols=1, vertical_spacing=0.62 / max(rows, 1) if rows > 1 else 0.0, figure=drawn)
    for row, check in enumerate(gate.checks, 1):
        low, high = _range(check)
        shown = f"{check.shown(check.value)}, {check.kind.value} {check.shown(check.bound)}"
        mark, colour = ("?", GREY) if not check.told else ("✓", GREEN) if check.passed else ("✗", RED)
        bar = go.Bar(
            x=[check.value],
            y=[""],
            orientation="h",
            marker={"color": colour},
            name=label(check.name),
            hovertemplate=f"{label(check.name)}: {shown}<extra></extra>",
        )
        drawn.add_trace(bar, row=row, col=1)
        passing = (check.bound, high) if check.kind is Bound.AT_LEAST else (low, check.bound)
        failing = (low, check.bound) if check.kind is Bound.AT_LEAST else (check.bound, high)
        for (left, right), fill in ((passing, FAINT_GREEN), (failing, FAINT_RED)):
            fill = fill if check.told else FAINT_GREY
            drawn.add_vrect(x0=left, x1=right, fillcolor=fill, line_width=0, layer="below", row=row, col=1)
        drawn.add_vline(x=check.bound, line={"color": GREY, "width": 3}, row=row, col=1)
        drawn.update_xaxes(
            range=[low, high], tickformat=".0%" if check.is_fraction else None, nticks=6, showgrid=False, row=row, col=1
        )
        drawn.update_yaxes(showticklabels=False, showgrid=False, row=row, col=1)
        number = "" if row == 1 else str(row)
        drawn.add_annotation(
            text=f"<b>{mark} {label(check.name)}</b>  {shown}",
            xref="paper",
            x=0,
            xanchor="left",
            yref=f"y{number} domain",
            y=1.04,
            yanchor="bottom",
            showarrow=False,
        )
    drawn.update_xaxes(fixedrange=True)
    drawn.update_yaxes(fixedrange=True)
    drawn.update_layout(margin={"l": 10, "r": 16, "t": 26, "b": 22})
    return drawn


def _range(check: Check) -> tuple[float, float]:
    """The stretch of the axis: nought, the value and the bound lie within it."""
    points = [0.0, check.bound, *([check.value] if check.value is not None else [])]
    low, high = min(points), max(points)
    room = (high - low or 1.0) * 0.15
    return (low - room if low < 0 else 0.0, high + room)


def learning_figure(epochs: Sequence[Epoch], training: TrainingResult) -> Figure:
    """Loss above, accuracy below, train and validation, by epoch; the epoch whose weights were kept is marked."""
    drawn = figure(470, hovermode="x unified")
    make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.07, figure=drawn)
    told = (
        (1, "train", BLUE, [one.train_loss for one in epochs]),
        (1, "validation", AMBER, [one.validation_loss for one in epochs]),
        (2, "train", BLUE, [one.train_accuracy for one in epochs]),
        (2, "validation", AMBER, [one.validation_accuracy for one in epochs]),
    )
    for row, name, colour, values in told:
        places = kept(values)
        line = go.Scatter(
            x=[epochs[place].epoch for place in places],
            y=[round(values[place], 8) for place in places],
            name=name,
            mode="lines" if len(epochs) > 1 else "markers",
            line={"color": colour, "width": 2},
            showlegend=row == 1,
        )
        drawn.add_trace(line, row=row, col=1)
    best = next((one for one in epochs if one.epoch == training.best_epoch), None)
    if best:
        for row, value in ((1, best.validation_loss), (2, best.validation_accuracy)):
            star = {"symbol": "star", "size": 13, "color": GREEN}
            name = f"kept: epoch {best.epoch}"
            point = go.Scatter(x=[best.epoch], y=[value], name=name, mode="markers", marker=star, showlegend=row == 1)
            drawn.add_trace(point, row=row, col=1)
            drawn.add_vline(x=best.epoch, line={"color": GREEN, "width": 1, "dash": "dot"}, row=row, col=1)
    guessing = {"color": GREY, "width": 1.5, "dash": "dash"}
    if training.baseline_loss is not None:
        drawn.add_hline(y=training.baseline_loss, line=guessing, row=1, col=1)
    if training.chance_known:
        drawn.add_hline(y=training.chance, line=guessing, row=2, col=1)
    drawn.update_yaxes(title="loss", row=1, col=1)
    drawn.update_yaxes(title="accuracy", tickformat=".0%", row=2, col=1)
    drawn.update_xaxes(title="epoch", row=2, col=1)
    return drawn


def fuzzy_figure(fuzzy: FuzzySet) -> Figure:
    """The membership functions of one set, over its indicator's values."""
    drawn = figure(250)
    low, high = _reach(fuzzy.memberships)
    for place, membership in enumerate(fuzzy.memberships):
        values, degrees = outline(membership, low, high)
        colour = CURVES[place % len(CURVES)]
        line = {"color": colour, "width": 2}
        drawn.add_trace(go.Scatter(x=values, y=degrees, name=label(membership.name), mode="lines", line=line))
    of = fuzzy.indicator + (f".{fuzzy.output}" if fuzzy.output else "")
    per = f", as a ratio to {fuzzy.input_transform.reference}" if fuzzy.input_transform else ""
    drawn.update_xaxes(title=label(f"{of}{per}"))
    drawn.update_yaxes(range=[-0.03, 1.06], nticks=3)
    drawn.update_layout(margin={"l": 34, "r": 12, "t": 10, "b": 44})
    return drawn


def _reach(memberships: Sequence[Membership]) -> tuple[float, float]:
    ends: list[float] = []
    for one in memberships:
        if one.type == "gaussian":
            mu, sigma = one.parameters
            ends += [mu - 3 * sigma, mu + 3 * sigma]
        else:
            ends += [one.parameters[0], one.parameters[-1]]
    room = (max(ends) - min(ends)) * 0.05
    return min(ends) - room, max(ends) + room


def outline(membership: Membership, low: float, high: float) -> tuple[list[float], list[float]]:
    """Values from low to high with their degrees: the corners of a straight-sided function, a smooth curve else."""
    if membership.type == "gaussian":
        import numpy as np

        from engine.fuzzy import degree

        mu, sigma = membership.parameters
        around = mu + sigma * np.linspace(-4.0, 4.0, 81)
        values = np.unique(np.concatenate(([low, high], around[(around > low) & (around < high)])))
        return values.tolist(), degree(membership, values).round(6).tolist()
    a, b, *c, d = membership.parameters
    return [low, a, b, *(c or [b]), d, high], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]


def calls_figure(calls: Sequence[Call]) -> Figure:
    """Tokens of each call, by class; of more than MOST_CALLS the last ones."""
    shown = calls[-MOST_CALLS:]
    first = len(calls) - len(shown) + 1
    rows = {
        f"{place}. {call.phase}": (
            (call.input_tokens, call.cache_write_tokens, call.cache_read_tokens, call.output_tokens, 0)
            if call.state == "settled"
            else (0, 0, 0, 0, call.total_tokens)
        )
        for place, call in enumerate(shown, first)
    }
    return _tokens(rows)


def phases_figure(usage: Mapping[str, PhaseUsage]) -> Figure:
    """Tokens of each phase, by class."""
    return _tokens(
        {phase: (used.input, used.cache_write, used.cache_read, used.output, 0) for phase, used in usage.items()}
    )


def _tokens(rows: Mapping[str, Sequence[int]]) -> Figure:
    drawn = figure(130 + 28 * len(rows), barmode="stack", bargap=0.3)
    drawn.update_layout(legend={"traceorder": "normal"})
    names = [label(name) for name in rows]
    for place, (name, colour) in enumerate(CLASSES):
        tokens = [row[place] for row in rows.values()]
        if any(tokens):
            marker = {"color": colour}
            drawn.add_trace(go.Bar(x=tokens, y=names, orientation="h", name=name, marker=marker))
    drawn.update_xaxes(title="tokens", tickformat="~s")
    drawn.update_yaxes(autorange="reversed", type="category", showgrid=False)
    drawn.update_layout(margin={"l": 84, "r": 14, "t": 10, "b": 44})
    return drawn
