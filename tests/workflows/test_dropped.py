"""A run that a worker drops is closed outside its loop, where nothing of it may reach for the workflow."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from temporalio import workflow

from domain.errors import ErrorCode
from workflows.failures import CycleFailed
from workflows.research_cycle import ResearchCycleWorkflow


@pytest.mark.parametrize(("how", "shown"), [("dropped", 1), ("cancelled", 2)])
async def test_a_pause_that_is_closed_shows_nothing_and_one_that_is_cancelled_does(
    how: str, shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str | None] = []
    cycle = SimpleNamespace(_wait_for=told.append)

    async def forever(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(workflow, "now", lambda: datetime(2026, 3, 1, tzinfo=UTC))
    monkeypatch.setattr(workflow, "sleep", forever)
    failure = CycleFailed(ErrorCode.ANTHROPIC_RATE_LIMITED, "wait")
    pausing = ResearchCycleWorkflow._pause(cycle, failure, timedelta(seconds=1))  # type: ignore[arg-type]
    pausing.send(None)
    if how == "dropped":
        pausing.close()
    else:
        with pytest.raises(asyncio.CancelledError):
            pausing.throw(asyncio.CancelledError())
    assert len(told) == shown
