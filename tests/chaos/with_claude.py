"""The story of a cycle by Claude, whose worker dies in the middle of a conversation."""

import asyncio
from contextlib import AsyncExitStack

from domain.cycle import Outcome
from tests.claude.house import claude_house
from tests.claude.test_cycle_claude import TURNS

from .armed_worker import Kind
from .house import rows
from .scenarios import PATIENCE, Doom


async def claude(doom: Doom) -> None:
    """Three turns of design and two of assessment; the worker that makes the calls dies in one of them."""
    async with (
        claude_house(doom.bench.client, doom.root, staffed=False) as house,
        AsyncExitStack() as living,
        doom.worker(Kind.CLAUDE, house.scope, house.api.url) as worker,
    ):
        cycle = await house.start()
        going = await doom.met(worker, cycle.result())
        await living.enter_async_context(house.working())
        result = await asyncio.wait_for(going, PATIENCE)
        await house.api.until(lambda: house.api.under_way == 0)
        entries = await house.entries()

        turns = [(bill.asked.phase, bill.asked.turn) for bill in house.api.bills]
        assert result.outcome is Outcome.COMPLETED
        assert list(dict.fromkeys(turns)) == TURNS
        assert len(turns) <= len(TURNS) + 1, "a turn was asked again whose answer was recorded"
        assert house.api.billed <= sum(entry.total_tokens for entry in entries) == result.tokens
        assert [entry.state for entry in entries].count("charged") <= 1
        settled = [entry.total_tokens for entry in entries if entry.state == "settled"]
        assert len(settled) == len(TURNS)
        assert set(settled) <= {bill.usage.total for bill in house.api.bills}
        assert rows(house.store, cycle.id) == 1
