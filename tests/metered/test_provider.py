"""The metered provider and the one who asks it: what is billed, and what the asker learns of it."""

import asyncio
from datetime import UTC, datetime

import pytest

from domain.errors import COSTS_NOTHING, ErrorCode, ResearchError

from .provider import Call, Deed, provider
from .turns import ask

CALL = Call(cycle_id="c", run_id="r", phase="design", turn=1, ticket=1, ceiling_tokens=9_000, closing=False, sender=1)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        (Deed.DROP, ErrorCode.ANSWER_LOST),
        (Deed.CUT, ErrorCode.ANSWER_LOST),
        (Deed.FAIL, ErrorCode.ANTHROPIC_ERROR),
        (Deed.RATE_LIMIT, ErrorCode.ANTHROPIC_RATE_LIMITED),
    ],
)
async def test_what_is_worked_on_is_billed_and_the_asker_knows_when_it_may_have_been(
    deed: Deed, code: ErrorCode
) -> None:
    async def once(call: Call, nth: int) -> Deed:
        return deed if nth == 1 else Deed.ANSWER

    async with provider() as books:
        books.deed, books.clock = once, lambda: NOON
        with pytest.raises(ResearchError) as raised:
            await ask(books.url, CALL)
        assert raised.value.code is code
        assert len(books.bills) == (code not in COSTS_NOTHING)
        reply = await ask(books.url, CALL)
        assert not reply.final
        last = books.bills[-1]
        assert (last.call, last.nth, last.usage, last.at) == (CALL, 2, reply.usage, NOON)


async def test_a_request_whose_sender_is_gone_is_billed_when_it_is_done() -> None:
    done = asyncio.Event()

    async def slow(call: Call, nth: int) -> Deed:
        await done.wait()
        return Deed.ANSWER

    async with provider() as books:
        books.deed = slow
        asking = asyncio.create_task(ask(books.url, CALL))
        await books.until(lambda: books.under_way == [CALL])
        asking.cancel()
        await asyncio.wait([asking])
        assert books.bills == []
        done.set()
        await books.until(books.is_idle)
        assert [bill.call for bill in books.bills] == [CALL]


async def test_a_provider_that_is_not_there_costs_nothing() -> None:
    async with provider() as books:
        url = books.url
    with pytest.raises(ResearchError) as raised:
        await ask(url, CALL)
    assert raised.value.code is ErrorCode.ANTHROPIC_ERROR
