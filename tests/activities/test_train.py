"""Promises of the activity `train` on a real server, with real workers and processes."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from job_house import Handle, House
from process_jobs import EPOCHS, hold
from process_watch import gone, stopped, until
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError

from engine.handover import TrainWork
from engine.interface import Progress

HEARD_WITHIN = 2.0


async def test_heartbeats_tell_the_progress_and_the_result_is_the_engines(house: House) -> None:
    hold(house.places, 3).touch()
    async with house.worker():
        handle = await house.start()
        await house.until_epoch(3)
        async with asyncio.timeout(10):
            while (told := await progress_of(handle)) is None or told.step != "epoch 2 of 6":
                await asyncio.sleep(0.02)
        assert told.fraction == pytest.approx(2 / 6)
        hold(house.places, 3).unlink()
        result = await handle.result()
    assert result.epochs == 6
    assert (house.places.artifacts / result.model_path).is_file()


async def test_a_cancel_is_heard_within_two_seconds_and_the_process_is_dead_before_the_workflow_ends(
    house: House,
) -> None:
    hold(house.places, 2).touch()
    async with house.worker():
        handle = await house.start()
        process = await house.until_epoch(2)
        asked = time.monotonic()
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
        assert time.monotonic() - asked < HEARD_WITHIN
        assert gone(process)
    assert isinstance(ended.value.cause, CancelledError)


async def test_a_killed_process_is_tried_again_and_resumes(house: House) -> None:
    hold(house.places, 4).touch()
    async with house.worker():
        handle = await house.start()
        os.kill(await house.until_epoch(4), signal.SIGKILL)
        hold(house.places, 4).unlink()
        await handle.result()
    assert house.epochs() == [1, 2, 3, 4, 4, 5, 6]


async def test_a_worker_that_shuts_down_hands_its_job_to_the_next_however_often_that_happens(house: House) -> None:
    handle = await house.start()
    for epoch in range(1, EPOCHS + 1):
        hold(house.places, epoch).touch()
        async with house.worker():
            process = await house.until_epoch(epoch)
        assert gone(process)
        hold(house.places, epoch).unlink()
    async with house.worker():
        await handle.result()
    assert house.epochs() == [1, *(again for epoch in range(2, EPOCHS + 1) for again in (epoch - 1, epoch)), EPOCHS]
    events = (await handle.fetch_history()).events
    asked = [event.activity_task_scheduled_event_attributes for event in events]
    given = [one.input.payloads[0].data for one in asked if one.activity_type.name == "train"]
    work = TrainWork.model_validate_json(given[-1])
    assert (len(given), work.handed_over and work.handed_over.step) == (EPOCHS + 1, f"epoch {EPOCHS - 1} of {EPOCHS}")


async def test_a_frozen_worker_that_wakes_after_its_job_was_done_elsewhere_changes_nothing(house: House) -> None:
    hold(house.places, 3).touch()
    with house.worker_process() as worker:
        handle = await house.start()
        frozen = [worker.pid, await house.until_epoch(3)]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        await until(lambda: all(stopped(pid) for pid in frozen))
        hold(house.places, 3).unlink()
        async with house.worker():
            result = await handle.result()
        published = house.tree()
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: gone(frozen[1]))
        worker.kill()
    assert house.tree() == published
    assert f"{Path(result.model_path).parent.name}/result.json" in published


async def progress_of(handle: Handle) -> Progress | None:
    """What the pending activity's last heartbeat told."""
    description = await handle.describe()
    for pending in description.raw_description.pending_activities:
        payloads = pending.heartbeat_details.payloads
        if payloads:
            told: list[Progress] = await description.data_converter.decode(payloads, [Progress])
            return told[0]
    return None
