"""Cycles that need more than the day has: refused before any call, or stopped in the middle with what they have."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.cycle import AdmissionState, CallUsage, OnBudgetExhausted, Outcome, Phase
from tests.metered.books import differences
from tests.metered.house import BOUNDS, ENVELOPE, MeteredHouse, metered_house
from tests.metered.provider import MODEL, Call, Deed, always_answered

TOP_UP = BOUNDS.most + BOUNDS.closing
"""What a phase asks for that has nothing left: enough for one turn and one more to bring the result."""


@pytest.fixture
async def house(temporal_env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[MeteredHouse]:
    """Where assess loses three answers to its second turn, and with them all that it had."""

    async def deed(call: Call, nth: int) -> Deed:
        return Deed.DROP if (call.phase, call.turn) == ("assess", 2) and nth <= 3 else Deed.ANSWER

    async with metered_house(temporal_env.client, tmp_path) as house:
        house.provider.deed = deed
        house.provider.usage = lambda call, nth: CallUsage(model=MODEL, input=nth, output=5_000 - nth)
        yield house


async def test_a_cycle_that_waits_for_more_shows_it_and_goes_on_with_the_same_turn_when_the_limit_is_raised(
    house: MeteredHouse, keep_history
) -> None:
    await house.open_ledger(tokens=ENVELOPE)
    cycle, _ = await house.start()
    status = await house.until(cycle, lambda status: status.waiting_for is not None)
    balance, paid = await house.balance(), len(house.provider.bills)
    assert (status.phase, status.strategy and status.strategy.name) == (Phase.ASSESSING, "metered")
    assert status.top_up
    assert (status.top_up.state, status.top_up.next_reset) == (AdmissionState.QUEUED, balance.next_reset)
    assert [(one.cycle_id, one.top_up, one.tokens) for one in balance.waiting] == [(cycle.id, True, TOP_UP)]
    reset = f"The day resets at {balance.next_reset:%Y-%m-%d %H:%M} UTC"
    assert reset in (status.waiting_for or "")
    assert reset in (await house.details(cycle)).replace("\\", "")

    await house.set_limit(ENVELOPE + TOP_UP)
    result = await asyncio.wait_for(cycle.result(), 60)
    assert result.outcome is Outcome.COMPLETED
    turns = house.provider.turns_billed(cycle.id)
    assert turns[paid:] == [("assess", 2, 4), ("assess", 3, 1)]
    assert [turn for turn in turns if turn[0] == "design"] == [("design", turn, 1) for turn in range(1, 8)]
    assert differences(await house.calls(), house.provider.bills) == []
    status = await house.until(cycle, lambda status: status.waiting_for is None)
    assert status.top_up is None
    await keep_history("topped_up", cycle)


async def test_a_lost_answer_is_topped_up_at_once_where_the_day_has_enough(house: MeteredHouse) -> None:
    await house.open_ledger(tokens=ENVELOPE + TOP_UP)
    cycle, _ = await house.start(on_budget_exhausted=OnBudgetExhausted.FAIL)
    assert (await asyncio.wait_for(cycle.result(), 60)).outcome is Outcome.COMPLETED
    assert house.provider.turns_billed(cycle.id)[-1] == ("assess", 3, 1)


@pytest.mark.parametrize("queue", [False, True], ids=["refused", "queued"])
async def test_under_a_limit_of_a_thousand_tokens_a_cycle_is_refused_before_any_call(
    house: MeteredHouse, queue: bool
) -> None:
    await house.open_ledger(tokens=1_000)
    cycle, admission = await house.start(queue=queue)
    assert (await cycle.result()).outcome is Outcome.REFUSED
    assert (admission.state, admission.reason) == (AdmissionState.REFUSED, "budget_exhausted")
    assert (admission.used, admission.remaining, admission.deficit) == (0, 1_000, ENVELOPE - 1_000)
    assert f"`research budget set --tokens {ENVELOPE}`" in admission.message
    assert house.provider.calls == []


async def test_under_a_limit_in_dollars_a_model_without_a_price_is_refused_and_one_with_a_price_is_booked_exactly(
    house: MeteredHouse,
) -> None:
    house.provider.deed = always_answered
    await house.open_ledger(tokens=1_000_000, usd=Decimal(2))
    unknown, admission = await house.start(model="claude-of-tomorrow")
    assert (await unknown.result()).outcome is Outcome.REFUSED
    assert "No price is known" in admission.message
    assert house.provider.calls == []
    cycle, _ = await house.start()
    await asyncio.wait_for(cycle.result(), 60)
    entries = await house.calls()
    assert differences(entries, house.provider.bills) == []
    assert sum(entry.cost or 0 for entry in entries) == 10 * (Decimal("0.000002") + Decimal("0.04999"))
    assert (await house.balance()).usd_held == 0


async def test_usage_beyond_its_ceiling_is_booked_in_full_and_told(house: MeteredHouse) -> None:
    house.provider.deed, over = always_answered, BOUNDS.most + 1_000
    house.provider.usage = lambda call, nth: CallUsage(
        model=MODEL, output=over if (call.phase, call.turn) == ("design", 2) else 2_000
    )
    await house.open_ledger(tokens=200_000)
    cycle, _ = await house.start()
    await asyncio.wait_for(cycle.result(), 60)
    assert differences(await house.calls(), house.provider.bills) == []
    assert (await house.balance()).overrun_tokens == 1_000
