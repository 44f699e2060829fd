"""Cycles that are ended in the middle of a call or of a wait: nothing stays held, and no bill is missing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from domain.cycle import AdmissionState, CallUsage, Outcome
from domain.ledger import BudgetStatus
from domain.turns import DesignAnswer
from tests.metered.books import differences
from tests.metered.house import BOUNDS, ENVELOPE, Cycle, MeteredHouse, metered_house
from tests.metered.provider import MODEL, Call, Deed
from workflows.policies import Policies
from workflows.research_cycle import ResearchCycleWorkflow


@pytest.fixture
async def house(temporal_env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[MeteredHouse]:
    """With funds for one cycle."""
    async with metered_house(temporal_env.client, tmp_path) as house:
        await house.open_ledger(tokens=ENVELOPE)
        yield house


async def test_a_cycle_cancelled_in_the_middle_of_a_call_leaves_that_call_charged(house: MeteredHouse) -> None:
    cycle, done = await held_in_its_third_call(house)
    await cycle.signal(ResearchCycleWorkflow.cancel, "changed my mind")
    assert await outcome(cycle) is Outcome.CANCELLED
    done.set()
    balance = await everything_is_booked(house)
    assert balance.tokens_charged == BOUNDS.most


async def test_a_cycle_terminated_in_the_middle_of_a_call_is_booked_by_its_history_and_the_next_begins(
    house: MeteredHouse,
) -> None:
    cycle, done = await held_in_its_third_call(house)
    await cycle.terminate("as by a person in the Web UI")
    done.set()
    await house.set_limit(ENVELOPE + 3 * BOUNDS.most)
    following, admission = await house.start()
    assert admission.state is AdmissionState.GRANTED
    assert await outcome(following) is Outcome.COMPLETED
    balance = await everything_is_booked(house)
    assert balance.tokens_charged == BOUNDS.most


async def test_a_cycle_cancelled_while_it_waits_for_more_leaves_the_queue(house: MeteredHouse) -> None:
    async def deed(call: Call, nth: int) -> Deed:
        return Deed.DROP if (call.phase, call.turn) == ("assess", 2) else Deed.ANSWER

    house.provider.deed = deed
    house.provider.usage = lambda call, nth: CallUsage(model=MODEL, input=nth, output=5_000 - nth)
    cycle, _ = await house.start()
    await house.until(cycle, lambda status: status.top_up is not None and status.top_up.state is AdmissionState.QUEUED)
    await cycle.cancel()
    assert await outcome(cycle) is Outcome.CANCELLED
    await everything_is_booked(house)


@pytest.mark.parametrize("first", ["answer", "cancel"])
async def test_an_answer_that_meets_the_cancel_is_booked_as_it_was_billed(
    first: str, temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with metered_house(temporal_env.client, tmp_path, staffed=False) as house:
        worker = await house.worker_process()
        await house.open_ledger(tokens=ENVELOPE)
        cycle, done = await held_in_its_third_call(house, Policies())
        worker.kill()
        await worker.wait()
        done.set()
        await house.provider.until(house.provider.is_idle)
        under_way = await cycle.describe()
        attempt = house.client.get_async_activity_handle(
            workflow_id=cycle.id,
            run_id=under_way.run_id,
            activity_id=under_way.raw_description.pending_activities[0].activity_id,
        )
        both = [attempt.complete(DesignAnswer(usage=house.provider.bills[-1].usage)), cycle.cancel()]
        for message in both if first == "answer" else reversed(both):
            await message
        async with house.working():
            assert await outcome(cycle) is Outcome.CANCELLED
            balance = await everything_is_booked(house)
    assert (len(house.provider.bills), balance.tokens_charged) == (3, 0)


async def held_in_its_third_call(house: MeteredHouse, policies: Policies | None = None) -> tuple[Cycle, asyncio.Event]:
    """A cycle, and what makes the provider go on with the call that it has just made."""
    done = asyncio.Event()

    async def deed(call: Call, nth: int) -> Deed:
        if len(house.provider.calls) == 3:
            await done.wait()
        return Deed.ANSWER

    house.provider.deed = deed
    cycle, _ = await house.start(policies)
    await house.provider.until(lambda: len(house.provider.calls) == 3)
    return cycle, done


async def outcome(cycle: Cycle) -> Outcome | None:
    """How the cycle has ended, in its own words."""
    with contextlib.suppress(WorkflowFailureError):
        await asyncio.wait_for(cycle.result(), 60)
    return (await cycle.query(ResearchCycleWorkflow.status)).outcome


async def everything_is_booked(house: MeteredHouse) -> BudgetStatus:
    """Every bill, and nobody holds or waits for anything."""
    await house.provider.until(house.provider.is_idle)
    entries, balance = await house.calls(), await house.balance()
    assert differences(entries, house.provider.bills) == []
    assert (balance.active, balance.waiting, balance.tokens_held) == ((), (), 0)
    return balance
