"""Cycles that wait for funds over a midnight, to which the server skips: they go on when the new day has begun."""

import asyncio
import shutil
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest_asyncio
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment

from client.dev import server_options
from domain.cycle import CallUsage, Outcome
from domain.ledger import CLOCK_SKEW
from tests.metered.books import differences
from tests.metered.house import ENVELOPE, Cycle, MeteredHouse, metered_house
from tests.metered.provider import MODEL, Call, Deed
from workflows import search_attributes


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def skipping_env() -> AsyncIterator[WorkflowEnvironment]:
    """A server that skips time where it is asked to, workflow by workflow."""
    beside_python = Path(sys.executable).parent / "temporal"
    async with await WorkflowEnvironment.start_time_skipping_v2(
        ts_config=TimeSkippingConfig(enabled=False),
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(beside_python) if beside_python.exists() else shutil.which("temporal"),
        dev_server_extra_args=[
            *server_options(),
            *("--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"),
        ],
        search_attributes=search_attributes.ALL,
        dev_server_log_level="error",
    ) as env:
        yield env


async def test_a_cycle_in_the_queue_begins_when_the_new_day_has_begun(
    skipping_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with metered_house(skipping_env.client, tmp_path) as house:
        await house.open_ledger(tokens=ENVELOPE, sweep_every=timedelta(hours=6))
        first, _ = await house.start()
        await asyncio.wait_for(first.result(), 60)
        second, admission = await house.start(queue=True)
        assert admission.reason == "budget_exhausted"

        await skip_to_a_new_day(skipping_env, house, second)
        assert (await asyncio.wait_for(second.result(), 60)).outcome is Outcome.COMPLETED
        await each_day_is_within_its_limit(house)


async def test_a_cycle_that_waits_for_more_goes_on_with_the_same_turn_when_the_new_day_has_begun(
    skipping_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async def deed(call: Call, nth: int) -> Deed:
        return Deed.DROP if (call.phase, call.turn) == ("assess", 2) and nth <= 3 else Deed.ANSWER

    async with metered_house(skipping_env.client, tmp_path) as house:
        house.provider.deed = deed
        house.provider.usage = lambda call, nth: CallUsage(model=MODEL, input=nth, output=5_000 - nth)
        await house.open_ledger(tokens=ENVELOPE, sweep_every=timedelta(hours=6))
        cycle, _ = await house.start()
        await house.until(cycle, lambda status: status.waiting_for is not None)
        paid = len(house.provider.bills)

        await skip_to_a_new_day(skipping_env, house, cycle)
        assert (await asyncio.wait_for(cycle.result(), 60)).outcome is Outcome.COMPLETED
        assert house.provider.turns_billed(cycle.id)[paid:] == [("assess", 2, 4), ("assess", 3, 1)]
        await each_day_is_within_its_limit(house)


async def skip_to_a_new_day(env: WorkflowEnvironment, house: MeteredHouse, waiting: Cycle) -> None:
    """All clocks go on to the first moment at which no day binds that has any of the calls; the ledger's as the last.

    That is the next reset, but for calls that were made around a true midnight and count on both its days.
    """
    last = max(day for entry in await house.calls() if entry.state == "settled" for day in entry.days)
    reset = datetime.combine(last + timedelta(days=1), time(), UTC) + CLOCK_SKEW
    ahead = reset - datetime.now(UTC) + timedelta(seconds=1)
    house.provider.clock = lambda: datetime.now(UTC) + ahead
    assert await env.fast_forward(waiting, ahead)
    assert (await house.balance()).waiting
    assert await env.fast_forward(house.ledger, ahead)


async def each_day_is_within_its_limit(house: MeteredHouse) -> None:
    """What was billed is booked, on more than one day, and no day's sum is more than its limit."""
    calls, history = await house.calls(), await house.history()
    assert differences(calls, house.provider.bills) == []
    billed: dict[date, int] = defaultdict(int)
    for bill in house.provider.bills:
        billed[bill.at.date()] += bill.usage.total
    assert len(billed) > 1
    for day in history:
        booked = sum(entry.total_tokens for entry in calls if day.day in entry.days)
        assert booked == day.settled_tokens + day.charged_tokens
        assert billed[day.day] <= booked <= day.limit_tokens
        assert day.held_tokens == 0
    assert billed.keys() <= {day.day for day in history}
