"""A whole cycle by Claude: the real SDK, workflows, ledger and engine, on real bars; the API is a fake."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from temporalio.testing import WorkflowEnvironment

from client.transcript import transcript_of
from domain.cycle import Outcome
from domain.results import Verdict
from domain.strategy import dump_strategy, load_strategy
from engine.embedded import EmbeddedEngine
from engine.interface import Places
from engine.pool import JobPool
from tests.claude.fake_api import MODEL
from tests.claude.house import HYPOTHESIS, YAML, claude_house, unbooked


async def test_a_cycle_is_designed_and_assessed_by_claude_and_booked_to_the_token(
    temporal_env: WorkflowEnvironment, tmp_path: Path, pool: JobPool, keep_history: Any
) -> None:
    written = load_strategy(YAML).strategy.model_copy(update={"name": "claude_range", "hypothesis": HYPOTHESIS})
    places = Places(artifacts=tmp_path / "artifacts", strategies=tmp_path / "strategies", data=tmp_path / "data")
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(claude_house(temporal_env.client, tmp_path, staffed=False))
        await stack.enter_async_context(house.working(EmbeddedEngine(pool, places)))
        cycle = await house.start()
        result = await asyncio.wait_for(cycle.result(), 120)
        status, entries = await house.status(cycle), await house.entries()
        await keep_history("claude_completed", cycle)

        assert (result.outcome, result.verdict, status.hypothesis) == (Outcome.COMPLETED, Verdict.POOR, HYPOTHESIS)
        assert result.strategy
        assert (places.strategies / result.strategy.path).read_text() == dump_strategy(written)
        assert [(one.asked.phase, one.asked.turn) for one in house.api.bills] == [
            *(("design", turn) for turn in (1, 2, 3)),
            *(("assess", turn) for turn in (1, 2)),
        ]
        assert unbooked(entries, house.api.bills) == []
        assert result.tokens == house.api.billed
        assert {entry.model for entry in entries} == {MODEL}
        assert all(entry.cost for entry in entries)
        assert house.store.get(cycle.id)

        said = (await transcript_of(house.client, cycle.id)).turns
        assert [(turn.phase, turn.turn, turn.usage) for turn in said] == [
            (one.asked.phase, one.asked.turn, one.usage) for one in house.api.bills
        ]
        assert [one.asked.body["messages"][-1]["content"] for one in house.api.bills[1:3]] == [
            list(turn.messages[-1].blocks) for turn in said[:2]
        ]
