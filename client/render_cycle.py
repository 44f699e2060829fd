"""A cycle at a glance: its phases, its bar, its step; the status screen, the list, the whole story. Pure functions."""

from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from client.pending import Live
from client.render_budget import render_idle
from client.render_results import (
    OUTCOME_STYLES,
    render_gate,
    render_places,
    render_results,
    render_verdict,
)
from client.render_values import NONE, clean, count, duration, duration_of, moment, money, number
from client.views import CycleView, ListedCycle, StatusView
from domain.cycle import AdmissionState, CycleStatus, DesignerKind, Phase

BAR_CELLS = 30


def render_bar(fraction: float, cells: int = BAR_CELLS) -> Text:
    """A bar with its percent: [██████░░░░] 60%."""
    filled = int(cells * fraction + 1e-6)
    return Text.assemble("[", ("█" * filled, "cyan"), ("░" * (cells - filled), "dim"), f"] {whole_percent(fraction)}%")


def whole_percent(fraction: float) -> int:
    """Percent that are reached: 100 only at the end."""
    return int(fraction * 100 + 1e-6)


def render_phases(status: CycleStatus) -> Text:
    """The phases as a line: done, present, to come; and where it stopped, if it did."""
    phases = [phase for phase in Phase if phase is not Phase.DONE]
    here = status.stopped_in or status.phase
    reached = len(phases) if here is Phase.DONE else phases.index(here)
    line = Text()
    for position, phase in enumerate(phases):
        if position < reached:
            line.append(f"✓ {phase.value}", "green")
        elif position > reached:
            line.append(f"· {phase.value}", "dim")
        elif status.outcome:
            line.append(f"✗ {phase.value}", OUTCOME_STYLES[status.outcome])
        else:
            line.append(f"● {phase.value}", "bold cyan")
        if position < len(phases) - 1:
            line.append("  ")
    return line


def step_of(view: CycleView) -> str:
    """What the cycle does or waits for now, in words; empty once it has ended."""
    cycle, live = view.cycle, view.live
    if cycle.outcome:
        return "being recorded" if view.recording else ""
    if cycle.waiting_for:
        return clean(f"waiting: {cycle.waiting_for}")
    if cycle.admission.state is AdmissionState.QUEUED:
        place = f", place {cycle.admission.position}" if cycle.admission.position else ""
        return clean(f"in the queue{place}: {cycle.admission.message}")
    return clean(live.doing) if live else ""


def retry_of(live: Live | None) -> str:
    """What failed last in the pending activity and when it is tried again; empty if nothing did."""
    if live is None or live.last_failure is None:
        return ""
    of = f" of {live.max_attempts}" if live.max_attempts else ""
    code = f"{live.last_failure_code}: " if live.last_failure_code else ""
    when = f"; next attempt {moment(live.next_attempt_at)}" if live.next_attempt_at else ""
    return clean(f"attempt {live.attempt}{of} after {code}{live.last_failure}{when}")


def render_cycle(view: CycleView, *, verbose: bool = False, left: float | None = None) -> RenderableType:
    """The status screen of one cycle. left: seconds that the present work still takes, where that is known."""
    cycle = view.cycle
    title = "Active Research Cycle" if cycle.outcome is None else "Research Cycle"
    rows: list[tuple[str, Text]] = [
        ("Operation", Text(cycle.cycle_id)),
        ("Phase", Text((cycle.stopped_in or cycle.phase).value, "cyan")),
        ("Progress", render_bar(view.progress)),
        ("Step", Text(step_of(view) + _left(left))),
        ("Retry", Text(retry_of(view.live), "yellow")),
        ("Strategy", Text(clean(cycle.strategy.name) if cycle.strategy else "")),
        ("Bars", Text(f"{cycle.request.symbol} {cycle.request.timeframe}")),
        ("Tokens", Text(_cost(cycle) if cycle.tokens or cycle.request.designer is DesignerKind.CLAUDE else "")),
    ]
    parts: list[RenderableType] = [Text(title, "bold green" if cycle.outcome is None else "bold")]
    parts += [Text.assemble(f"  {name}: ", text) for name, text in rows if text.plain]
    parts.append(Text.assemble("  ", render_phases(cycle)))
    parts += [render_gate(gate) for gate in cycle.gates]
    if verbose:
        parts.append(render_results(cycle))
    if cycle.outcome:
        parts.append(render_verdict(cycle))
    return Group(*parts)


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return "; a few seconds left" if seconds < 10 else f"; about {duration_of(seconds)} left"


def render_status(status: StatusView, *, verbose: bool = False) -> RenderableType:
    """The whole screen: each active cycle, or the idle screen with the budget."""
    if not status.cycles:
        return render_idle(status.budget)
    parts: list[RenderableType] = []
    for cycle in status.cycles:
        parts += [render_cycle(cycle, verbose=verbose), Text("")]
    return Group(*parts[:-1])


def _cost(cycle: CycleStatus) -> str:
    unpriced = f", and {count(cycle.unpriced_tokens)} of them without a known price" if cycle.unpriced_tokens else ""
    return f"{count(cycle.tokens)}, {money(cycle.cost_usd)}{unpriced}"


def render_story(view: CycleView) -> RenderableType:
    """Everything about one cycle, from its request to where its results lie."""
    cycle = view.cycle
    request = cycle.request
    parts: list[RenderableType] = [
        Text(cycle.cycle_id, "bold"),
        Text.assemble("  ", render_phases(cycle)),
        *_facts(
            ("Bars", f"{request.symbol} {request.timeframe}"),
            ("Designer", request.designer.value + (f", model {request.model}" if request.model else "")),
            ("Seed", str(request.seed)),
            ("Brief", clean(request.brief)),
            ("Fork of", f"{clean(request.fork.cycle_id)}, from {request.fork.phase.value} on" if request.fork else ""),
            ("Strategy", clean(cycle.strategy.name) if cycle.strategy else ""),
            ("Hypothesis", clean(cycle.hypothesis or "")),
            ("Memory", cycle.memory_snapshot or ""),
            ("Started", moment(cycle.started_at)),
            ("Ended", moment(cycle.ended_at) if cycle.ended_at else ""),
            ("Trace", cycle.trace.trace_id if cycle.trace else ""),
            ("Tokens", _cost(cycle)),
            ("Step", step_of(view)),
            ("Retry", retry_of(view.live)),
        ),
        _timings(cycle),
    ]
    parts.append(render_results(cycle))
    parts += [render_gate(gate) for gate in cycle.gates]
    parts += [render_verdict(cycle), render_places(view.places)]
    return Group(*parts)


def render_list(cycles: list[ListedCycle]) -> RenderableType:
    """One line a cycle, newest first; ids are never cut."""
    if not cycles:
        return Text("no cycles yet: `research start --designer offline` starts one", "dim")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("cycle", "started", "bars", "outcome", "verdict"):
        table.add_column(name, no_wrap=True, overflow="ignore")
    table.add_column("Sharpe", justify="right", overflow="fold")
    table.add_column("strategy", overflow="fold")
    for cycle in cycles:
        outcome = (
            Text(cycle.outcome.value, OUTCOME_STYLES[cycle.outcome]) if cycle.outcome else Text(cycle.phase or NONE)
        )
        table.add_row(
            cycle.cycle_id,
            cycle.started_at.astimezone().strftime("%Y-%m-%d %H:%M"),
            f"{cycle.symbol or NONE} {cycle.timeframe or ''}".strip(),
            outcome,
            cycle.verdict or NONE,
            number(cycle.sharpe_ratio),
            clean(cycle.strategy or NONE),
        )
    return table


def progress_line(view: CycleView) -> str:
    """The cycle in one plain line, for a follower without a terminal."""
    cycle = view.cycle
    words = [f"{whole_percent(view.progress):3d}%", (cycle.stopped_in or cycle.phase).value]
    ended = cycle.outcome.value if cycle.outcome else ""
    words += [text for text in (ended, step_of(view), retry_of(view.live)) if text]
    return "  ".join(words)


def _timings(cycle: CycleStatus) -> Text:
    now = cycle.ended_at or datetime.now(UTC)
    spans = [
        f"{timing.phase.value} {duration((timing.ended_at or now) - timing.started_at)}"
        for timing in cycle.timings
        if timing.phase not in cycle.request.taken_over
    ]
    return Text(f"  Took: {', '.join(spans)}" if spans else "")


def _facts(*facts: tuple[str, str]) -> list[RenderableType]:
    return [Text.assemble((f"  {name}: ", "dim"), text) for name, text in facts if text]
