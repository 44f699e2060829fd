"""The day's budget as people read it. Pure functions."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from client.render_values import NONE, clean, count, moment, money, percent, plural
from domain.ledger import Account, BudgetStatus, DayEntries, DaySummary

MIN_CELLS = 10
MAX_CELLS = 60
"""Of the day's bar."""


class Part(NamedTuple):
    """A part of the day: what stands for it in the bar, also without colour, and its figures."""

    name: str
    mark: str
    style: str
    tokens: Callable[[BudgetStatus], int]
    usd: Callable[[BudgetStatus], Decimal | None]


PARTS = (
    Part("settled", "█", "cyan", lambda day: day.tokens_settled, lambda day: day.usd_settled),
    Part("charged", "#", "red", lambda day: day.tokens_charged, lambda day: day.usd_charged),
    Part("held", "=", "yellow", lambda day: day.tokens_held, lambda day: day.usd_held),
    Part("free", "·", "dim", lambda day: day.tokens_remaining, lambda day: day.usd_remaining),
)


def render_idle(budget: BudgetStatus | None) -> RenderableType:
    """The status screen while no cycle is active."""
    lines: list[RenderableType] = [Text("No active research cycle", "dim")]
    if budget:
        used = budget.tokens_used_today / budget.daily_budget if budget.daily_budget else None
        lines += [
            Text("Budget Status", "bold"),
            Text(f"  Used today: {count(budget.tokens_used_today)} tokens ({percent(used)})"),
            Text(f"  Remaining: {count(budget.tokens_remaining)} tokens"),
        ]
        if budget.paused:
            lines.append(Text(f"  Paused: {clean(budget.paused)}", "yellow"))
    return Group(*lines)


def render_budget(budget: BudgetStatus) -> RenderableType:
    """The day as one bar with its legend, then who holds and who waits."""
    lines: list[RenderableType] = [
        Text(f"Budget of {budget.reset_date:%Y-%m-%d} (UTC)", "bold"),
        _DayBar(budget),
        Padding(_legend(budget), (0, 0, 0, 2), expand=False),
        *(Text(f"  {line}", style) for line, style in _remarks(budget)),
        Text(f"  next reset {_in_both_zones(budget.next_reset)}"),
        Text(f"  slots {len(budget.active)} of {budget.max_active_cycles} taken"),
    ]
    lines += [
        Text(
            f"  active   {clean(held.cycle_id)}  holds {count(held.held)}, used {count(held.settled + held.charged)} "
            f"of {count(held.granted)} tokens, since {moment(held.since)}"
        )
        for held in budget.active
    ]
    lines += [
        Text(
            f"  waiting  {clean(waits.cycle_id)}  place {waits.position}, needs {count(waits.tokens)} "
            f"{'more ' if waits.top_up else ''}tokens, since {moment(waits.since)}"
        )
        for waits in budget.waiting
    ]
    return Group(*lines)


def render_entries(day: DayEntries) -> RenderableType:
    """Every call of a day."""
    table = _table(
        "time", "cycle", "phase", "model", "state", right=("input", "cache", "output", "total", "ceiling", "cost")
    )
    for entry in day.entries:
        table.add_row(
            moment(entry.timestamp),
            clean(entry.operation_id),
            clean(entry.phase),
            clean(entry.model),
            entry.state,
            count(entry.input_tokens),
            count(entry.cache_write_tokens + entry.cache_read_tokens),
            count(entry.output_tokens),
            count(entry.total_tokens),
            count(entry.ceiling),
            money(entry.cost),
        )
    title = Text(f"Calls of {day.day:%Y-%m-%d} (UTC)", "bold")
    sums = f"{count(day.folded_settled_tokens)} settled, {count(day.folded_charged_tokens)} charged tokens"
    if day.folded_calls:
        folded = [Text(f"and {count(day.folded_calls)} earlier calls, kept in sum: {sums}")]
    elif day.folded_charged_tokens:
        folded = [
            Text(f"and {count(day.folded_charged_tokens)} tokens charged without a call: the day counts as spent")
        ]
    else:
        folded = []
    if not day.entries:
        return Group(title, *(folded or [Text("no calls")]))
    return Group(title, table, *folded)


def render_history(days: list[DaySummary]) -> RenderableType:
    """One line a day, newest first."""
    table = _table("day (UTC)", right=("settled", "charged", "held", "limit", "calls", "cost"))
    for day in days:
        table.add_row(
            f"{day.day:%Y-%m-%d}",
            count(day.settled_tokens),
            count(day.charged_tokens),
            count(day.held_tokens),
            count(day.limit_tokens),
            count(day.calls),
            money(day.settled_usd + day.charged_usd),
        )
    return table


def what_a_restart_did(days: Sequence[DaySummary], adopted: Sequence[Account]) -> str:
    """Of a ledger that was started in place of another, in sentences: the days that its books begin with, which count
    as spent, newest first; and the accounts that it took over.
    """
    spent = ", ".join(f"{day.day:%Y-%m-%d}" for day in reversed(days))
    said = f"a new ledger was started; counted as spent (UTC): {spent}."
    if not adopted:
        return f"{said} No running cycle held anything."
    whose = ", ".join(f"{account.cycle_id} ({count(account.unspent.tokens)} tokens)" for account in adopted)
    cycles = "1 running cycle" if len(adopted) == 1 else f"{count(len(adopted))} running cycles"
    return f"{said} What {cycles} still held was taken over: {whose}."


class _DayBar:
    """The day in cells, as many as the console has room for: a part that is not nothing has one at least."""

    def __init__(self, budget: BudgetStatus) -> None:
        self._budget = budget

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """`[███##===·····] 42.0 % used`."""
        budget = self._budget
        used = budget.tokens_settled + budget.tokens_charged
        share = f"] {percent(used / budget.daily_budget) if budget.daily_budget else NONE} used"
        room = options.max_width - len("  [") - len(share)
        cells = shared_out([part.tokens(budget) for part in PARTS], max(MIN_CELLS, min(MAX_CELLS, room)))
        yield Text.assemble("  [", *((part.mark * n, part.style) for part, n in zip(PARTS, cells, strict=True)), share)


def shared_out(parts: Sequence[int], cells: int) -> list[int]:
    """So many cells shared out among the parts, each by its size; none gets nothing unless it is nothing."""
    total = sum(parts)
    if total == 0:
        return [0] * (len(parts) - 1) + [cells]
    shares = [max(1, round(cells * part / total)) if part else 0 for part in parts]
    while sum(shares) != cells:
        largest = max(range(len(shares)), key=lambda n: shares[n])
        shares[largest] += 1 if sum(shares) < cells else -1
    return shares


def _legend(budget: BudgetStatus) -> Table:
    """Each part with its mark and figures; dollars where there are any, or a limit in them."""
    dollars = budget.daily_usd_budget is not None or any(part.usd(budget) for part in PARTS)
    rows = [(Text(part.mark, part.style), part.name, part.tokens(budget), part.usd(budget)) for part in PARTS]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    for _ in range(2 if dollars else 1):
        table.add_column(justify="right", no_wrap=True)
    for mark, name, tokens, usd in (*rows, (Text(), "limit", budget.daily_budget, budget.daily_usd_budget)):
        spent = ("no limit" if name == "limit" and usd is None else money(usd),) if dollars else ()
        table.add_row(mark, name, f"{count(tokens)} tokens", *spent)
    return table


def _remarks(budget: BudgetStatus) -> Iterator[tuple[str, str]]:
    """What more there is to know of the figures, with its style."""
    calls = budget.invocations_today
    yield f"{plural(calls, 'call')} of a model", ""
    beyond = budget.tokens_settled + budget.tokens_charged + budget.tokens_held - budget.daily_budget
    if beyond > 0:
        yield f"{count(beyond)} tokens beyond the limit: nothing is granted until they fit again", "yellow"
    if budget.unpriced_tokens:
        yield f"{count(budget.unpriced_tokens)} tokens have no price, and are not in the dollars", "yellow"
    if budget.paused:
        yield f"paused: {clean(budget.paused)}; `research budget resume` goes on", "yellow"
    if budget.overrun_tokens:
        yield f"{count(budget.overrun_tokens)} tokens beyond their ceilings: a ceiling was wrong", "red"


def _in_both_zones(at: datetime) -> str:
    here, utc = moment(at), f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return here if here == utc else f"{here} ({utc})"


def _table(*left: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in left:
        table.add_column(name, no_wrap=True, overflow="ignore")
    for name in right:
        table.add_column(name, justify="right", overflow="fold")
    return table
