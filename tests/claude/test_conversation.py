"""A conversation through the workflow: what goes wrong is paid once, told in words, and never asked again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from claude.turn import CLOSING
from domain.ceilings import INPUT_MARGIN, LONGEST_ANSWER, TurnBounds, grown, with_margin
from domain.cycle import CycleStatus, Outcome
from domain.errors import ErrorCode
from domain.pricing import PRICES

from .fake_api import MODEL, Asked, Fault, Refuses, Says, thinks, tool
from .house import HYPOTHESIS, SUBMIT_STRATEGY, YAML, ClaudeHouse, Cycle, claude_house, unbooked, usual

MOST = TurnBounds().most


@pytest.fixture
async def house(temporal_env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[ClaudeHouse]:
    async with claude_house(temporal_env.client, tmp_path) as house:
        yield house


def scripted(house: ClaudeHouse, *first: Says | Refuses | Callable[[Asked], Says]) -> None:
    """These answers, in order; then as usual."""

    async def script(asked: Asked) -> Says | Refuses:
        if asked.nth > len(first):
            return usual(asked)
        answer = first[asked.nth - 1]
        return answer if isinstance(answer, Says | Refuses) else answer(asked)

    house.api.script = script


async def ended(house: ClaudeHouse, cycle: Cycle) -> CycleStatus:
    with suppress(WorkflowFailureError):
        await asyncio.wait_for(cycle.result(), 90)
    return await house.status(cycle)


async def test_what_cost_nothing_is_tried_again_and_a_lost_answer_is_paid_with_its_ceiling(house: ClaudeHouse) -> None:
    soon = (("retry-after-ms", "5"),)

    async def script(asked: Asked) -> Says | Refuses:
        if asked.nth <= 10:
            return Refuses(529, "overloaded_error", headers=soon)
        faults: dict[int, Says | Refuses] = {
            11: Refuses(429, "rate_limit_error", headers=soon),
            13: Says(fault=Fault.DROP),
            15: Says(fault=Fault.CUT),
            17: Refuses(500, body="<html>Bad Gateway</html>"),
            18: Says(fault=Fault.ERROR),
        }
        return faults.get(asked.nth) or usual(asked)

    house.api.script = script
    status = await ended(house, await house.start())
    entries = await house.entries()
    assert status.outcome is Outcome.COMPLETED
    assert [(entry.phase, entry.state) for entry in entries] == [
        *(("design", state) for state in ("settled", "charged", "settled", "charged", "settled")),
        *(("assess", state) for state in ("charged", "charged", "settled", "settled")),
    ]
    assert all(entry.total_tokens == entry.ceiling for entry in entries if entry.state == "charged")
    assert unbooked(entries, house.api.bills) == []
    assert status.tokens == sum(entry.total_tokens for entry in entries) > house.api.billed


async def test_a_strategy_is_repaired_until_it_is_one_and_nothing_that_a_model_names_becomes_a_path(
    house: ClaudeHouse,
) -> None:
    said = {"hypothesis": HYPOTHESIS, "tests_hypothesis": None}
    scripted(
        house,
        Says(blocks=(thinks(), tool("submit_strategy", name="../../etc/passwd", yaml=YAML, **said))),
        Says(blocks=(thinks(), tool("submit_strategy", name="broken", yaml="indicators: [", **said))),
        lambda asked: Says(blocks=(thinks(), SUBMIT_STRATEGY)),
        lambda asked: usual(asked) if asked.turn == 1 else Says(),
    )
    status = await ended(house, await house.start())
    assert status.outcome is Outcome.COMPLETED
    told = [message["content"][0] for message in house.api.asked[2].body["messages"] if message["role"] == "user"][1:]
    assert [block["is_error"] for block in told] == [True, True]
    assert sorted(path.name for path in (house.root / "strategies").glob("*.yaml")) == ["claude_range.yaml"]
    assert unbooked(await house.entries(), house.api.bills) == []


async def test_a_conversation_that_comes_to_no_end_is_told_when_its_last_turn_is_there(house: ClaudeHouse) -> None:
    async def script(asked: Asked) -> Says | Refuses:
        return Says(blocks=(thinks(), tool("get_indicator", name="rsi")))

    house.api.script = script
    status = await ended(house, await house.start())
    assert status.failure
    assert status.failure.code is ErrorCode.DESIGN_INVALID
    last = [asked.body["messages"][-1]["content"][0].get("text") for asked in house.api.asked]
    assert last[-1] == CLOSING
    assert CLOSING not in last[:-1]
    assert unbooked(await house.entries(), house.api.bills) == []
    assert house.api.billed <= 90_000


async def test_a_prompt_that_was_counted_too_low_widens_the_margin_of_the_next(house: ClaudeHouse) -> None:
    scripted(house, lambda asked: Says(blocks=usual(asked).blocks, usage={"input_tokens": 2 * asked.tokens}))
    status = await ended(house, await house.start(brief="é" * 8_000))
    assert status.outcome is Outcome.COMPLETED
    first, second = house.api.asked[:2]
    margin = grown(INPUT_MARGIN, first.tokens, 2 * first.tokens)
    assert margin == 1.5
    entries = await house.entries()
    assert second.body["max_tokens"] == min(LONGEST_ANSWER, entries[1].ceiling - with_margin(second.tokens, margin))
    assert entries[1].ceiling >= with_margin(first.tokens, margin) + LONGEST_ANSWER
    assert unbooked(entries, house.api.bills) == []


async def test_an_answer_that_is_larger_than_its_ceiling_is_booked_in_full_and_counted(house: ClaudeHouse) -> None:
    scripted(house, lambda asked: Says(blocks=usual(asked).blocks, usage={"output_tokens": 2 * MOST}))
    status = await ended(house, await house.start({"design_token_cap": 300_000}))
    assert status.outcome is Outcome.COMPLETED
    entries = await house.entries()
    assert entries[0].total_tokens > 2 * entries[0].ceiling == 2 * MOST
    assert (await house.balance()).overrun_tokens == entries[0].total_tokens - entries[0].ceiling
    assert unbooked(entries, house.api.bills) == []


@pytest.mark.parametrize("fault", [Fault.NO_USAGE, Fault.HALF_USAGE])
async def test_an_answer_that_does_not_tell_its_cost_is_charged_with_its_ceiling(
    house: ClaudeHouse, fault: Fault
) -> None:
    scripted(house, lambda asked: Says(blocks=usual(asked).blocks, fault=fault))
    status = await ended(house, await house.start())
    entries = await house.entries()
    assert status.outcome is Outcome.COMPLETED
    assert [entry.state for entry in entries] == ["charged", *["settled"] * 4]
    assert entries[0].total_tokens == MOST
    assert [one.asked.turn for one in house.api.bills] == [1, 2, 3, 1, 2]


async def test_an_answer_from_a_dearer_geography_has_tokens_and_no_price(house: ClaudeHouse) -> None:
    scripted(house, lambda asked: Says(blocks=usual(asked).blocks, usage={"inference_geo": "us"}))
    price = PRICES[MODEL]
    operation = await house.start({"daily_usd_budget": Decimal(5)}, model=MODEL)
    status, entries = await ended(house, operation), await house.entries()
    assert status.unpriced_tokens == entries[0].total_tokens == house.api.bills[0].usage.total
    assert [entry.cost for entry in entries] == [None, *(price.cost(bill.usage) for bill in house.api.bills[1:])]
    assert unbooked(entries, house.api.bills) == []


async def test_the_model_that_is_named_is_the_one_that_is_called_and_recorded(house: ClaudeHouse) -> None:
    status = await ended(house, await house.start(model="haiku"))
    assert {asked.body["model"] for asked in house.api.asked} == {"claude-haiku-5-5"}
    assert status.request.model == "claude-haiku-5-5"
