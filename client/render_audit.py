"""An audit as people read it: the verdict first, then what differs, then what nobody can say. Pure functions."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from client.audit_compare import FIGURES
from client.audit_report import Audit, Difference, Unsaid
from client.render_values import NONE, clean, count, moment, money, plural

SHOWN = 50
"""Differences that are shown; JSON has all of them."""

_WORDS = {"operation_id": "cycle", "cost": "dollars"}


def render_audit(audit: Audit) -> RenderableType:
    """The whole audit."""
    lines: list[RenderableType] = [
        Text.assemble((f"Audit of {audit.day} (UTC): ", "bold"), _verdict(audit)),
        Text(
            f"  histories  {plural(audit.calls, 'call')} in {plural(audit.runs_read, 'run')} of cycles: "
            f"settled {count(audit.settled_tokens)}, charged {count(audit.charged_tokens)} tokens; "
            f"{money(audit.settled_usd + audit.charged_usd)}{_unpriced(audit)}"
        ),
        Text(f"  ledger     {_ledger(audit)}"),
    ]
    if audit.differences or audit.sums:
        lines.append(_table(audit))
    hidden = len(audit.differences) - SHOWN
    if hidden > 0:
        lines.append(Text(f"and {count(hidden)} more differences; `-o json` has all of them"))
    if audit.unsaid:
        lines.append(Text("What can't be said", "bold"))
        lines += [Text(f"  {_unsaid(one)}") for one in audit.unsaid]
    lines.append(
        Text(f"The server keeps the histories of cycles that ended since {moment(audit.histories_since)}.", "dim")
    )
    return Group(*lines)


def _verdict(audit: Audit) -> tuple[str, str]:
    if not audit.equal:
        return plural(len(audit.differences) + len(audit.sums), "difference"), "red"
    return ("equal, call by call", "green") if audit.complete else ("equal, as far as can be said", "yellow")


def _ledger(audit: Audit) -> str:
    sums = audit.ledger
    if sums is None:
        return "no book of that day"
    held = f"; {count(sums.held_tokens)} held for calls to come" if sums.held_tokens else ""
    return (
        f"{plural(sums.calls, 'call')}: "
        f"settled {count(sums.settled_tokens)}, charged {count(sums.charged_tokens)} tokens; "
        f"{money(sums.settled_usd + sums.charged_usd)}{held}"
    )


def _unpriced(audit: Audit) -> str:
    return f", and {count(audit.unpriced_tokens)} tokens without a price" if audit.unpriced_tokens else ""


def _table(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("difference", "cycle", "call", "phase", "figure"):
        table.add_column(name, no_wrap=True, overflow="ignore")
    table.add_column("histories", justify="right", overflow="fold")
    table.add_column("ledger", justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    for difference in audit.differences[:SHOWN]:
        for row in _rows(difference):
            table.add_row(*row)
    for sums in audit.sums:
        table.add_row(
            "sum", "", "", "", sums.name, _figure(sums.expected), _figure(sums.ledger), f"expected from {sums.made_of}"
        )
    return table


def _rows(difference: Difference) -> Iterator[tuple[str, ...]]:
    history, ledger = difference.history, difference.ledger
    head: tuple[str, ...] = (
        difference.kind,
        clean(difference.cycle_id),
        str(difference.seq),
        clean(difference.phase),
    )
    for name in difference.figures:
        told = FIGURES[name](history) if history else None
        booked = getattr(ledger, name) if ledger else None
        yield (*head, _WORDS.get(name, name.replace("_", " ")), _figure(told), _figure(booked), difference.because)
        head = ("", "", "", "")
    if not difference.figures:
        one = history or ledger
        yield (
            *head,
            f"{one.state} tokens" if one else "",
            count(history.total_tokens) if history else NONE,
            count(ledger.total_tokens) if ledger else NONE,
            difference.because,
        )


def _figure(value: object) -> str:
    if isinstance(value, int):
        return count(value)
    if isinstance(value, Decimal):
        return count(int(value)) if value == value.to_integral_value() else f"{value:f}"
    if isinstance(value, tuple):
        return " ".join(f"{day:%m-%d}" if isinstance(day, date) else clean(str(day)) for day in value)
    return NONE if value is None else clean(str(value))


def _unsaid(one: Unsaid) -> str:
    what = [clean(one.cycle_id)] if one.cycle_id else []
    if one.calls:
        what.append(plural(one.calls, "call"))
    if one.tokens:
        what.append(f"{count(one.tokens)} tokens")
    return f"{', '.join(what)}: {clean(one.message)}" if what else clean(one.message)
