"""Schedules as people read them. Pure functions."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from client.render_values import NONE, clean, count, moment
from client.schedules import ListedSchedule, ScheduleView
from client.timing import Timing, written

ELSEWHERE = "at times that another program has set"


def render_schedule(view: ScheduleView) -> RenderableType:
    """When, what, the next runs, and how the latest cycles ended."""
    request = view.request
    asked = [f"{request.symbol} {request.timeframe}", f"designer {request.designer.value}", f"seed {request.seed}"]
    if request.model:
        asked.append(f"model {request.model}")
    if request.strategy:
        asked.append(f"strategy {request.strategy.name}")
    asked.append("waits for a slot and funds" if request.queue else "refused without a slot or funds")
    lines = [
        Text(f"Schedule {view.name}", "bold"),
        Text(f"  when: {clean(_times(view.timing))}"),
        Text(f"  asks: {clean(', '.join(asked))}"),
    ]
    if brief := " ".join(request.brief.split()):
        lines.append(Text(f"  brief: {clean(brief)}"))
    lines.append(Text(f"  overlap: {view.overlap}, while the cycle before goes on"))
    if view.timing:
        late = written(view.timing.catch_up)
        lines.append(Text(f"  catch-up window: {late}; what the server misses by more is left out"))
    if view.paused:
        lines.append(Text(f"  paused: {clean(view.note or 'no reason given')}", "yellow"))
    so_far = f"  so far: {count(view.started)} started, {count(view.skipped)} skipped, {count(view.missed)} missed"
    lines.append(Text(so_far))
    heading = "Next runs, were it not paused" if view.paused else "Next runs"
    lines += [Text(heading), *(Text(f"  {moment(at)}") for at in view.next_runs)]
    if not view.next_runs:
        lines.append(Text("  none", "dim"))
    if view.latest:
        lines.append(Text("Latest cycles"))
        lines += [
            Text(f"  {clean(cycle.cycle_id)}  {cycle.outcome.value if cycle.outcome else cycle.phase or 'started'}")
            for cycle in view.latest
        ]
    return Group(*lines)


def render_schedules(found: Sequence[ListedSchedule]) -> RenderableType:
    """One row a schedule."""
    if not found:
        return Text(
            "no schedules yet: `research schedule create nightly --designer offline --every 1d` makes one", "dim"
        )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("name", "when", "next run", "last cycle"):
        table.add_column(name, no_wrap=True, overflow="ignore")
    table.add_column("asks", overflow="fold")
    for each in found:
        table.add_row(
            clean(each.name),
            clean(each.timing.words if each.timing else ELSEWHERE),
            Text("paused", "yellow") if each.paused else moment(each.next_run),
            clean(each.last_cycle or NONE),
            clean(each.asked),
        )
    return table


def _times(timing: Timing | None) -> str:
    if timing is None:
        return ELSEWHERE
    parts = [timing.words]
    if timing.jitter:
        parts.append(f"later by up to {written(timing.jitter)}")
    if timing.until:
        parts.append(f"until {moment(timing.until)}")
    return ", ".join(parts)
