"""A ledger that is ended under its cycles and restarted by a person: they go on, and are booked as they are billed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment

from activities.budget import restart_budget
from activities.ended_runs import Reading
from activities.open_envelopes import open_envelopes
from domain.cycle import CYCLE_WORKFLOW, AdmissionState, CallUsage, Outcome
from domain.errors import ErrorCode, ResearchError
from domain.ledger import Account, Limits
from tests.metered.books import differences
from tests.metered.house import BOUNDS, ENVELOPE, MeteredHouse, metered_house
from tests.metered.provider import MODEL, Call, Deed
from tests.workflows.test_funds_resets import reset

TOP_UP = BOUNDS.most + BOUNDS.closing
LIMITS = Limits(tokens_per_day=2 * ENVELOPE, max_active_cycles=2)


@pytest.fixture
async def house(temporal_env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[MeteredHouse]:
    """With a ledger that grants two cycles."""
    async with metered_house(temporal_env.client, tmp_path) as house:
        await house.open_ledger(tokens=LIMITS.tokens_per_day, active=LIMITS.max_active_cycles)
        yield house


def held_at(house: MeteredHouse, *turns: tuple[str, int]) -> dict[tuple[str, int], asyncio.Event]:
    """The provider waits in these turns, each until its event is set."""
    held = {turn: asyncio.Event() for turn in turns}

    async def deed(call: Call, nth: int) -> Deed:
        if event := held.get((call.phase, call.turn)):
            await event.wait()
        return Deed.ANSWER

    house.provider.deed = deed
    return held


async def restarted(house: MeteredHouse) -> list[Account]:
    """What the new ledger took over."""
    adopted = await restart_budget(house.client, house.scope, LIMITS, house.scope)
    assert adopted is not None
    return list(adopted)


async def under_way(house: MeteredHouse, turn: tuple[str, int]) -> None:
    await house.provider.until(lambda: any((call.phase, call.turn) == turn for call in house.provider.under_way))


async def test_a_cycle_in_mid_design_goes_on_under_the_new_ledger_which_books_its_later_calls(
    house: MeteredHouse,
) -> None:
    """Two calls are in the ended ledger's books, two are on their way to it, and one is in flight."""
    held = held_at(house, ("design", 3), ("design", 5))
    cycle, _ = await house.start()
    await under_way(house, ("design", 3))
    await house.ledger.terminate("as by a person in the Web UI")
    held["design", 3].set()
    await under_way(house, ("design", 5))
    waiting, admission = await house.start(queue=True)
    assert admission.state is AdmissionState.PENDING

    [account] = await restarted(house)
    bills = list(house.provider.bills)
    assert (account.cycle_id, account.next_seq) == (cycle.id, 5)
    assert (account.granted.tokens, account.settled.tokens) == (ENVELOPE, house.provider.billed())
    balance = await house.balance()
    assert [(one.cycle_id, one.held) for one in balance.active] == [(cycle.id, ENVELOPE - house.provider.billed())]
    assert (balance.tokens_charged, balance.tokens_remaining) == (LIMITS.tokens_per_day, 0)

    held["design", 5].set()
    assert (await asyncio.wait_for(cycle.result(), 60)).outcome is Outcome.COMPLETED
    status = await house.until(waiting, lambda status: "The day resets" in (status.waiting_for or ""))
    entries, balance = sorted(await house.calls(), key=lambda entry: entry.seq), await house.balance()
    assert [entry.seq for entry in entries] == [5, 6, 7, 8, 9, 10]
    renumbered = [entry.model_copy(update={"seq": number}) for number, entry in enumerate(entries, 1)]
    assert differences(renumbered, house.provider.bills[len(bills) :]) == []
    assert (balance.active, balance.tokens_held) == ((), 0)
    assert [one.cycle_id for one in balance.waiting] == [waiting.id]
    assert status.tokens == 0
    assert await restart_budget(house.client, house.scope, LIMITS, house.scope) is None
    await waiting.terminate()


async def test_what_was_topped_up_and_what_was_lost_is_taken_over(house: MeteredHouse) -> None:
    at_the_end = asyncio.Event()

    async def deed(call: Call, nth: int) -> Deed:
        if (call.phase, call.turn) == ("assess", 3):
            await at_the_end.wait()
        return Deed.DROP if (call.phase, call.turn) == ("assess", 2) and nth <= 3 else Deed.ANSWER

    house.provider.deed = deed
    house.provider.usage = lambda call, nth: CallUsage(model=MODEL, input=nth, output=5_000 - nth)
    cycle, _ = await house.start()
    await under_way(house, ("assess", 3))
    entries, before = await house.calls(), await house.balance()
    await house.ledger.terminate("as by a person in the Web UI")

    [account] = await restarted(house)
    assert account.granted.tokens == ENVELOPE + TOP_UP
    for state, taken_over in (("settled", account.settled), ("charged", account.charged)):
        calls = [entry for entry in entries if entry.state == state]
        sums = sum(entry.total_tokens for entry in calls), sum(entry.cost or 0 for entry in calls)
        assert (taken_over.tokens, taken_over.usd) == sums
    assert account.unspent.tokens == before.tokens_held

    at_the_end.set()
    assert (await asyncio.wait_for(cycle.result(), 60)).outcome is Outcome.COMPLETED
    assert (await house.balance()).tokens_held == 0


async def test_of_a_cycle_that_was_reset_and_waits_for_another_envelope_nothing_is_taken_over(
    house: MeteredHouse,
) -> None:
    held = held_at(house, ("design", 3))
    cycle, _ = await house.start()
    await under_way(house, ("design", 3))
    await house.ledger.terminate("as by a person in the Web UI")
    now = await reset(house, cycle, ("design", 2))
    held["design", 3].set()
    await house.until(now, lambda status: "research budget restart" in (status.waiting_for or ""))

    assert await restarted(house) == []
    await house.until(now, lambda status: "The day resets" in (status.waiting_for or ""))
    assert (await house.balance()).active == ()
    await now.terminate()


async def test_of_cycles_that_have_ended_or_are_under_another_ledger_nothing_is_taken_over(
    house: MeteredHouse,
) -> None:
    held = held_at(house, ("assess", 1))
    terminated, _ = await house.start()
    await under_way(house, ("assess", 1))
    await terminated.terminate()
    assert await open_envelopes(house.client, house.scope) == ()
    cycle, _ = await house.start()
    await house.provider.until(lambda: len(house.provider.under_way) == 2)
    assert await open_envelopes(house.client, f"{house.scope}-2") == ()
    assert [account.cycle_id for account in await open_envelopes(house.client, house.scope)] == [cycle.id]
    held["assess", 1].set()
    await asyncio.wait_for(cycle.result(), 60)
    assert await open_envelopes(house.client, house.scope) == ()


async def test_no_ledger_is_started_while_it_is_not_known_what_a_cycle_holds(house: MeteredHouse) -> None:
    await house.ledger.terminate("as by a person in the Web UI")
    stranger = await house.client.start_workflow(
        CYCLE_WORKFLOW,
        {"request": {"budget_scope": house.scope}},
        id=f"cycle-{house.scope}",
        task_queue="nobody's",
    )
    with pytest.raises(ResearchError, match=f"terminate --workflow-id {stranger.id}") as refused:
        await restarted(house)
    assert refused.value.code is ErrorCode.BUDGET_EXHAUSTED
    assert (await house.ledger.describe()).status is WorkflowExecutionStatus.TERMINATED
    await stranger.terminate()
    assert await restarted(house) == []
    assert (await house.balance()).tokens_remaining == 0


async def test_a_history_beyond_any_cycles_is_not_guessed_at(house: MeteredHouse) -> None:
    held = held_at(house, ("design", 2))
    cycle, _ = await house.start()
    await under_way(house, ("design", 2))
    with pytest.raises(ResearchError, match=f"{cycle.id}.*more than 5 events"):
        await open_envelopes(house.client, house.scope, Reading(events=5))
    held["design", 2].set()
    await asyncio.wait_for(cycle.result(), 60)
