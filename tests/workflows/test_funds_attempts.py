"""Each attempt is paid for once: what fails after it was billed stays charged, and what cost nothing is tried again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.cycle import Outcome
from tests.metered.books import differences
from tests.metered.house import BOUNDS, ENVELOPE, MeteredHouse, metered_house
from tests.metered.provider import Call, Deed


@pytest.fixture
async def house(temporal_env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[MeteredHouse]:
    """With funds for one cycle."""
    async with metered_house(temporal_env.client, tmp_path) as house:
        await house.open_ledger(tokens=ENVELOPE)
        yield house


async def test_a_call_that_was_turned_away_is_made_again_after_a_pause_that_can_be_seen(house: MeteredHouse) -> None:
    seen = asyncio.Event()

    async def deed(call: Call, nth: int) -> Deed:
        return Deed.RATE_LIMIT if call.turn == 2 and not seen.is_set() else Deed.ANSWER

    house.provider.deed = deed
    cycle, _ = await house.start()
    status = await house.until(cycle, lambda status: status.waiting_for is not None)
    assert "after anthropic_rate_limited: the provider says 429" in (status.waiting_for or "")
    seen.set()
    assert (await asyncio.wait_for(cycle.result(), 60)).outcome is Outcome.COMPLETED
    assert differences(await house.calls(), house.provider.bills) == []
    assert {bill.call.ceiling_tokens for bill in house.provider.bills} == {BOUNDS.most}
