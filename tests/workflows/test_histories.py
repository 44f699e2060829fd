"""Kept histories run through today's code: a change that would break cycles that are running fails here."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from workflows.research_cycle import ResearchCycleWorkflow

HISTORIES = Path(__file__).parent / "histories"


ELSEWHERE = ("ledger", "reset", "topped_up", "cancelled_while_queued")
"""Of kept histories that test_ledger_histories replays."""


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in HISTORIES.glob("*.json") if not path.stem.startswith(ELSEWHERE))
)
async def test_a_kept_history_replays(name: str) -> None:
    history = WorkflowHistory.from_json(name, (HISTORIES / f"{name}.json").read_text())
    replayer = Replayer(
        workflows=[ResearchCycleWorkflow],
        data_converter=pydantic_data_converter,
    )
    await replayer.replay_workflow(history)
