"""What `research cancel` says of a cycle that cannot be cancelled any more, or is being cancelled already."""

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment

from domain.cycle import CYCLE_WORKFLOW

from .conftest import Command, Place

OFFLINE = ("start", "--designer", "offline", "-o", "json")


@pytest.fixture
async def paused(reaching: Command) -> AsyncIterator[None]:
    """A paused ledger: cycles wait in the queue or are refused, and no engine is needed."""
    await asyncio.to_thread(reaching, "budget", "pause", "holidays")
    yield
    await asyncio.to_thread(reaching, "budget", "resume")


@pytest.fixture
def unrecorded(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """Somebody writes to the store without end, so that no cycle can be recorded; and who waits for it is hasty."""
    monkeypatch.setattr("client.cycles.CANCEL_PATIENCE", 0.5)
    store = sqlite3.connect(place.settings.home / "research.db", isolation_level=None, check_same_thread=False)
    store.execute("BEGIN IMMEDIATE")
    yield store
    store.close()


async def test_a_cycle_that_is_cancelled_again_while_it_ends_keeps_its_reason_and_each_cancel_says_how_it_stands(
    reaching: Command, paused: None, unrecorded: sqlite3.Connection, temporal_env: WorkflowEnvironment
) -> None:
    cycle_id = (await asyncio.to_thread(reaching, *OFFLINE, "--queue")).json["cycle_id"]
    first = await asyncio.to_thread(reaching, "cancel", cycle_id, "--reason", "enough")
    second = await asyncio.to_thread(reaching, "cancel", cycle_id, "--reason", "really")
    assert (first.code, second.code) == (0, 0)
    assert first.out == f"{cycle_id} is cancelled in queued; it waits for its results to be recorded\n"
    assert second.out == f"{cycle_id} is cancelled in queued: enough; it waits for its results to be recorded\n"
    unrecorded.execute("ROLLBACK")
    await until_closed(temporal_env, cycle_id)
    for _ in range(2):
        late = await asyncio.to_thread(reaching, "cancel", cycle_id)
        assert late.code == 1
        assert f"{cycle_id} has already ended as cancelled: there is nothing to cancel" in late.err
        assert f"research show {cycle_id}" in late.err
        assert "Traceback" not in late.err


async def test_a_cancel_that_comes_while_an_outcome_is_recorded_is_told_that_it_is_too_late(
    reaching: Command, paused: None, unrecorded: sqlite3.Connection, temporal_env: WorkflowEnvironment
) -> None:
    cycle_id = (await asyncio.to_thread(reaching, *OFFLINE)).json["error"]["started"]["cycle_id"]
    late = await asyncio.to_thread(reaching, "cancel", cycle_id)
    assert late.code == 1
    assert f"the cancel came too late: {cycle_id} has ended as refused; it waits for its results" in late.err
    assert "Traceback" not in late.err
    unrecorded.execute("ROLLBACK")
    await until_closed(temporal_env, cycle_id)
    later = await asyncio.to_thread(reaching, "cancel", cycle_id)
    assert f"{cycle_id} has already ended as refused: there is nothing to cancel" in later.err


async def test_a_cancel_whose_cycle_ends_without_a_worker_says_that_it_has_ended(
    reaching: Command, temporal_env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.cycles.QUERY_PATIENCE", timedelta(seconds=0.5))
    name = f"cycle-{uuid.uuid4().hex[:8]}"
    cycle = await temporal_env.client.start_workflow(CYCLE_WORKFLOW, id=name, task_queue=f"nobody-{name}")
    asked = asyncio.create_task(asyncio.to_thread(reaching, "cancel", name))
    async with asyncio.timeout(60):
        while len([event async for event in cycle.fetch_history_events()]) < len(("started", "task", "signal")):
            await asyncio.sleep(0.05)
    await cycle.terminate()
    told = await asked
    assert (told.code, told.err) == (0, "")
    assert told.out == f"{name} has ended, and no worker tells how; `research show {name}` tells what is recorded\n"


async def test_without_an_id_a_cycle_that_was_refused_and_is_yet_to_be_recorded_is_not_the_active_one(
    reaching: Command, paused: None, unrecorded: sqlite3.Connection, temporal_env: WorkflowEnvironment
) -> None:
    waiting = (await asyncio.to_thread(reaching, *OFFLINE, "--queue")).json["cycle_id"]
    refused = (await asyncio.to_thread(reaching, *OFFLINE)).json["error"]["started"]["cycle_id"]
    found = await asyncio.to_thread(reaching, "cancel", "--reason", "enough")
    assert (found.code, found.err) == (0, "")
    assert found.out.startswith(f"{waiting} is cancelled in queued")
    unrecorded.execute("ROLLBACK")
    for cycle_id in (waiting, refused):
        await until_closed(temporal_env, cycle_id)


async def until_closed(temporal_env: WorkflowEnvironment, cycle_id: str) -> None:
    handle = temporal_env.client.get_workflow_handle(cycle_id)
    async with asyncio.timeout(60):
        while (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
            await asyncio.sleep(0.05)
