"""Compares what a ledger has booked with what the provider has billed, call by call. Knows nothing of either's sums."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from domain.ledger import Entry
from domain.pricing import price_of

from .provider import Bill


def differences(entries: Iterable[Entry], bills: Iterable[Bill]) -> list[str]:
    """In words; none where every settled call is one bill, exactly, and every other bill is covered by a charged call.

    The calls of a run are made one after the other, so entries and bills of a run have the same order. A charged call
    has a bill or none: its request may never have reached the provider. So that it is not taken for its neighbour, no
    two calls of a run should use the same.
    """
    found: list[str] = []
    booked: dict[str, list[Entry]] = defaultdict(list)
    billed: dict[str, list[Bill]] = defaultdict(list)
    for entry in entries:
        booked[entry.run_id].append(entry)
    for bill in bills:
        billed[bill.call.run_id].append(bill)
    for run in booked.keys() | billed.keys():
        found += _of_run(
            sorted(booked[run], key=lambda entry: entry.seq), sorted(billed[run], key=lambda bill: bill.call.ticket)
        )
    return found


def _of_run(entries: list[Entry], bills: list[Bill]) -> list[str]:
    times = Counter(bill.call.ticket for bill in bills)
    found = [f"ticket {ticket} was billed {times[ticket]} times" for ticket in times if times[ticket] > 1]
    if [entry.seq for entry in entries] != list(range(1, len(entries) + 1)):
        found.append(f"the entries are numbered {[entry.seq for entry in entries]}")
    charged: list[Entry] = []
    for entry in entries:
        if entry.state != "settled":
            charged.append(entry)
            continue
        place = next((n for n, bill in enumerate(bills) if _is(entry, bill)), None)
        if place is None:
            found.append(f"settled, and on no bill: {entry}")
            continue
        found += _uncovered(bills[:place], charged)
        bills, charged = bills[place + 1 :], []
    return found + _uncovered(bills, charged)


def _uncovered(bills: list[Bill], charged: list[Entry]) -> list[str]:
    """The bills of answers that nobody heard, but those for which ceilings were charged, in this order."""
    rest = iter(charged)
    return [f"billed, and in no entry: {bill}" for bill in bills if not any(_covers(entry, bill) for entry in rest)]


def _covers(entry: Entry, bill: Bill) -> bool:
    return _same_call(entry, bill) and entry.total_tokens == entry.ceiling >= bill.usage.total


def _is(entry: Entry, bill: Bill) -> bool:
    usage, price = bill.usage, price_of(bill.usage.model)
    booked = (entry.input_tokens, entry.cache_write_tokens, entry.cache_read_tokens, entry.output_tokens)
    return (
        _same_call(entry, bill)
        and booked == (usage.input, usage.cache_write, usage.cache_read, usage.output)
        and (entry.total_tokens, entry.model) == (usage.total, usage.model)
        and price is not None
        and entry.cost == price.cost(usage)
    )


def _same_call(entry: Entry, bill: Bill) -> bool:
    call = bill.call
    return (entry.operation_id, entry.phase, entry.ceiling) == (
        call.cycle_id,
        call.phase,
        call.ceiling_tokens,
    ) and bill.at.date() in entry.days
