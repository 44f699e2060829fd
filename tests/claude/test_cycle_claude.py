"""Whole cycles that Claude designs and assesses: the real SDK, workflows, ledger and bars; the API is a fake."""

import asyncio
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from domain.cycle import Outcome
from domain.results import Verdict

from .fake_api import MODEL
from .house import HYPOTHESIS, claude_house, unbooked


async def test_a_cycle_is_designed_and_assessed_by_claude_and_booked_to_the_token(
    temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with claude_house(temporal_env.client, tmp_path) as house:
        cycle = await house.start()
        result = await asyncio.wait_for(cycle.result(), 60)
        status, entries = await house.status(cycle), await house.entries()

        assert (result.outcome, result.verdict, status.hypothesis) == (Outcome.COMPLETED, Verdict.POOR, HYPOTHESIS)
        assert result.strategy
        assert (tmp_path / "strategies" / result.strategy.path).read_text().startswith("name: claude_range")
        assert [(one.asked.phase, one.asked.turn) for one in house.api.bills] == [
            *(("design", turn) for turn in (1, 2, 3)),
            *(("assess", turn) for turn in (1, 2)),
        ]
        assert unbooked(entries, house.api.bills) == []
        assert result.tokens == house.api.billed
        assert {entry.model for entry in entries} == {MODEL}
        assert all(entry.cost for entry in entries)
        assert house.store.get(cycle.id)
