"""The day's budget as people read it. Pure functions."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from client.render_values import NONE, clean, count, moment, money, percent
from domain.ledger import BudgetStatus, DayEntries, DaySummary

BAR_CELLS = 30


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
    """The day as a bar, what stands where, who holds and who waits."""
    lines: list[RenderableType] = [
        Text.assemble((f"Budget of {budget.reset_date:%Y-%m-%d} (UTC)", "bold")),
        Text.assemble("  ", _bar(budget)),
        Text(
            f"  settled {count(budget.tokens_settled)}, charged {count(budget.tokens_charged)}, "
            f"held {count(budget.tokens_held)}, free {count(budget.tokens_remaining)} "
            f"of {count(budget.daily_budget)} tokens; {count(budget.invocations_today)} calls"
        ),
        Text(f"  {_dollars(budget)}"),
        Text(f"  next reset {moment(budget.next_reset)}"),
        Text(f"  slots {len(budget.active)} of {budget.max_active_cycles} taken"),
    ]
    if budget.paused:
        lines.append(Text(f"  paused: {clean(budget.paused)}; `research budget resume` goes on", "yellow"))
    if budget.overrun_tokens:
        lines.append(Text(f"  {count(budget.overrun_tokens)} tokens beyond their ceilings: a ceiling was wrong", "red"))
    lines += [
        Text(f"  active   {held.cycle_id}  holds {count(held.held)}, used {count(held.settled + held.charged)}")
        for held in budget.active
    ]
    lines += [
        Text(
            f"  waiting  {waits.cycle_id}  place {waits.position}, "
            f"{count(waits.tokens)} tokens, since {moment(waits.since)}"
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
            entry.operation_id,
            entry.phase,
            clean(entry.model),
            entry.state,
            count(entry.input_tokens),
            count(entry.cache_write_tokens + entry.cache_read_tokens),
            count(entry.output_tokens),
            count(entry.total_tokens),
            count(entry.ceiling),
            money(entry.cost),
        )
    folded = f"and {count(day.folded_calls)} earlier calls, in sum" if day.folded_calls else ""
    sums = f" {count(day.folded_settled_tokens)} settled, {count(day.folded_charged_tokens)} charged" if folded else ""
    empty = "" if day.entries or day.folded_calls else "no calls"
    return Group(Text(f"Calls of {day.day:%Y-%m-%d} (UTC) {empty}".rstrip(), "bold"), table, Text(folded + sums))


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


def _bar(budget: BudgetStatus) -> Text:
    total = max(budget.daily_budget, budget.tokens_used_today + budget.tokens_held, 1)
    used = min(BAR_CELLS, round(BAR_CELLS * budget.tokens_used_today / total))
    held = min(BAR_CELLS - used, round(BAR_CELLS * budget.tokens_held / total))
    share = percent(budget.tokens_used_today / budget.daily_budget) if budget.daily_budget else NONE
    return Text.assemble(
        "[", ("█" * used, "cyan"), ("▒" * held, "cyan"), ("░" * (BAR_CELLS - used - held), "dim"), f"] {share} used"
    )


def _dollars(budget: BudgetStatus) -> str:
    spent = f"{money(budget.usd_settled + budget.usd_charged)} spent, {money(budget.usd_held)} held"
    limit = f"of {money(budget.daily_usd_budget)}" if budget.daily_usd_budget is not None else "no dollar limit"
    unpriced = f"; {count(budget.unpriced_tokens)} tokens have no price" if budget.unpriced_tokens else ""
    return f"{spent}, {limit}{unpriced}"


def _table(*left: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in left:
        table.add_column(name, no_wrap=True, overflow="ignore")
    for name in right:
        table.add_column(name, justify="right", overflow="fold")
    return table
