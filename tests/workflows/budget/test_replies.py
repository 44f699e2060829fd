"""Replies that are not sent yet when a ledger continues as new: each is delivered, whatever became of its cycle."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from temporalio.api.history.v1 import HistoryEvent
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from domain.ledger import BudgetInput, Close
from workflows.budget import MAX_IN_FLIGHT, BudgetWorkflow

from .conftest import House, Listener, Voice, ledger_worker, until

Start = Callable[..., Awaitable[House]]

SLOW = MAX_IN_FLIGHT + 10
GONE = 8


async def test_replies_pending_at_continue_as_new_reach_slow_cycles_and_free_the_slots_of_those_that_are_gone(
    open_house: Start,
) -> None:
    """More openings than replies can be under way, and closes, before the ledger's worker and the cycles' are there."""
    queue, slow_queue = f"late-{uuid.uuid4()}", f"slow-{uuid.uuid4()}"
    often = timedelta(seconds=1)  # one look asks about fewer runs than hold here
    house = await open_house(active=2 * SLOW, continue_after_events=20, sweep_every=often, at=queue)
    voices = await asyncio.gather(*(house.voice(slow_queue) for _ in range(SLOW + GONE)))
    slow, gone = voices[:SLOW], voices[SLOW:]
    await asyncio.gather(*(voice.open(0)() for voice in voices))
    await asyncio.gather(*(voice.run.terminate("as by a person in the Web UI") for voice in gone))

    async def only_slow_ones_hold() -> bool:
        return {one.cycle_id for one in (await house.status()).active} == {voice.run.id for voice in slow}

    async with ledger_worker(house.client, queue):
        await until(only_slow_ones_hold)
        await asyncio.gather(*(voice.close(0)() for voice in slow))
        async with Worker(
            house.client, task_queue=slow_queue, workflows=[Listener], workflow_runner=UnsandboxedWorkflowRunner()
        ):
            heard = await asyncio.gather(*(told(voice) for voice in slow))
        handed_over = [await outbox_of(house, events) for events in (await house.histories()).values()]

    assert heard == [[("granted", voice.key), ("closed", voice.key)] for voice in slow]
    assert max(handed_over) > 0


async def told(voice: Voice) -> list[tuple[str, str]]:
    """Kind and key of what a run has heard, once it is two replies."""
    return [(reply.kind, reply.key) for reply in await voice.heard(2)]


async def outbox_of(house: House, events: list[HistoryEvent]) -> int:
    """How many replies a run of the ledger was handed by the one before."""
    start = events[0].workflow_execution_started_event_attributes
    (handed_over,) = await house.client.data_converter.decode(list(start.input.payloads), [BudgetInput])
    return len(handed_over.outbox)


async def test_a_reply_in_the_outbox_is_not_doubled_by_an_ask_repeated_meanwhile(open_house: Start) -> None:
    queue = f"late-{uuid.uuid4()}"
    house = await open_house(active=2, at=queue)
    voice = await house.voice()
    opening = voice.open(0)
    await asyncio.gather(*(opening() for _ in range(30)))
    async with ledger_worker(house.client, queue):
        await house.ledger.query(BudgetWorkflow.status)
        await voice.close(0)()
        assert [reply.kind for reply in await voice.heard(2)] == ["granted", "closed"]


async def test_a_message_from_what_is_no_run_wedges_no_ledger(open_house: Start) -> None:
    house = await open_house()
    now = datetime.now(UTC)
    await house.ledger.signal(BudgetWorkflow.close, Close(cycle_id="nobody", run_id="no-run", key="key", at=now))
    await house.ledger.execute_update(BudgetWorkflow.pause, "heard")
    assert (await house.status()).paused == "heard"
