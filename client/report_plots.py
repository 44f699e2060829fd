"""How plots are drawn in pages: one look for all of them, and curves thinned so that nothing that shows is lost.

Colours are of middle brightness, for paper, light and dark screens alike; text and grid get theirs in the page.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import plotly.graph_objects as go
from plotly.graph_objects import Figure

from client.report_html import text

BLUE, TEAL, GREY, GREEN, RED, AMBER, VIOLET = (
    "#2f7ed8",
    "#159a91",
    "#8a8f98",
    "#2e9e5b",
    "#d9534f",
    "#d98b1f",
    "#8b6fd6",
)
CURVES = (BLUE, AMBER, TEAL, VIOLET, RED, GREEN, GREY)
FAINT_GREEN, FAINT_RED, FAINT_GREY = "rgba(46,158,91,0.16)", "rgba(217,83,79,0.12)", "rgba(138,143,152,0.16)"

MOST_POINTS = 2_000
"""Of one curve: more than a screen has columns."""


def figure(height: int, **layout: object) -> Figure:
    """An empty figure of so many pixels' height, as wide as its place."""
    usual: dict[str, object] = {
        "template": {},
        "height": height,
        "autosize": True,
        "margin": {"l": 52, "r": 14, "t": 10, "b": 36},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
    return go.Figure(layout=usual | layout)


def label(words: str) -> str:
    """Words of others for a plot, which would take tags in them for its own."""
    return text(words)


def stamp(time: datetime) -> str:
    """A time as the plots take it: UTC, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def kept(values: Sequence[float], most: int = MOST_POINTS) -> list[int]:
    """The places of the values that a curve of `most` points at most keeps: of each stretch its first, last, lowest
    and highest, so that no peak and no fall is lost.
    """
    if len(values) <= most:
        return list(range(len(values)))
    stretches = max(most // 4, 1)
    places: set[int] = set()
    for number in range(stretches):
        stretch = range(number * len(values) // stretches, (number + 1) * len(values) // stretches)
        lowest, highest = min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)
        places |= {stretch[0], stretch[-1], lowest, highest}
    return sorted(places)


def curve(
    times: Sequence[datetime],
    values: Sequence[float],
    name: str,
    colour: str,
    *,
    width: float = 1.6,
    dash: str = "solid",
    **more: object,
) -> go.Scatter:
    """A line over time, thinned."""
    places = kept(values)
    line = {"color": colour, "width": width, "dash": dash}
    return go.Scatter(
        x=[stamp(times[place]) for place in places],
        y=[round(values[place], 8) for place in places],
        name=name,
        mode="lines",
        line=line,
        **more,
    )
