"""Days and restarts, seen from outside: what may have been spent is never forgotten."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from activities.budget import restart_budget
from domain.ledger import Account, DayEntries, DaySummary, Granted, Limits
from workflows.budget import BudgetWorkflow

from .conftest import House

Start = Callable[..., Awaitable[House]]


async def test_a_record_dated_tomorrow_takes_a_ledger_along_that_is_still_on_today(open_house: Start) -> None:
    """A call over midnight, told by a cycle whose clock is ahead: it counts on both days, and so does what is held."""
    house = await open_house(tokens=1_000, active=5)
    today = datetime.now(UTC).date()
    days = (today, today + timedelta(days=1))
    voice = await house.voice()
    await voice.open(600)()
    await voice.heard(1)
    await voice.record(1, 50, days)()
    history: tuple[DaySummary, ...] = await house.ledger.query(BudgetWorkflow.history)
    assert [(one.day, one.settled_tokens, one.held_tokens) for one in history] == [
        (days[1], 50, 550),
        (days[0], 50, 550),
    ]
    for day in days:
        entries: DayEntries = await house.ledger.query(BudgetWorkflow.entries, day)
        assert [entry.days for entry in entries.entries] == [days]
    assert (await (await house.cycle(tokens=401)).result()).reason == "budget_exhausted"
    assert (await (await house.cycle(tokens=400)).result()).admission == "granted"
    await voice.close(1)()
    assert [reply.kind for reply in await voice.heard(2)] == ["granted", "closed"]
    history = await house.ledger.query(BudgetWorkflow.history)
    assert [(one.settled_tokens, one.held_tokens) for one in history] == [(50, 0), (50, 0)]


async def test_a_ledger_restarted_under_cycles_that_hold_says_spent_and_books_what_they_still_tell(
    open_house: Start,
) -> None:
    house = await open_house(tokens=1_000, active=5)
    client, scope = house.client, house.ledger.id.removeprefix("budget/")
    teller, silent = await house.voice(), await house.voice()
    for holder in (teller, silent):
        await holder.open(400)()
        await holder.heard(1)
    await teller.record(1, 30)()
    await house.ledger.terminate("as by a person in the Web UI")
    await restart_budget(client, house.queue, Limits(tokens_per_day=1_000, max_active_cycles=5), scope)

    status = await house.status()
    assert (status.tokens_used_today, status.tokens_remaining, status.budget_available) == (1_000, 0, False)
    await teller.record(2, 20)()
    await teller.record(2, 20)()
    await teller.close(2)()
    assert [reply.kind for reply in await teller.heard(2)] == ["granted", "closed"]
    status = await house.status()
    assert (status.tokens_settled, status.tokens_charged, status.tokens_held) == (20, 1_000, 0)
    assert status.invocations_today == 1
    assert (await (await house.cycle(tokens=1)).result()).reason == "budget_exhausted"
    assert (await (await house.cycle()).result()).admission == "granted"


async def test_what_a_ledger_took_over_is_held_on_in_its_later_runs(open_house: Start) -> None:
    """And is taken over once: a later run that began with it again would hold what was given back."""
    ended = await open_house(tokens=1_000, active=5)
    voice = await ended.voice()
    await voice.open(600)()
    [granted] = await voice.heard(1)
    assert isinstance(granted, Granted)
    account = Account.taken_over([granted], [], datetime.now(UTC))
    house = await open_house(tokens=1_000, active=5, spent=True, adopted=(account,))
    voice = replace(voice, ledger=house.ledger)
    await house.next_run()
    status = await house.status()
    assert ([one.held for one in status.active], status.tokens_charged) == ([600], 1_000)
    await voice.record(1, 50)()
    await voice.close(1)()
    assert [reply.kind for reply in await voice.heard(2)] == ["granted", "closed"]
    await house.next_run()
    status = await house.status()
    assert (status.active, status.tokens_held, status.tokens_settled) == ((), 0, 50)
