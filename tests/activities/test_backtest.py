"""Promises of the activity `backtest` on a real server; what it shares with training is held in test_train."""

import time
import uuid

import pytest
from job_house import House
from one_job import OneBacktest
from process_jobs import backtest_job, hold
from process_watch import gone
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import CancelledError

from domain.results import BacktestResult

Handle = WorkflowHandle[OneBacktest, BacktestResult]
HEARD_WITHIN = 2.0


async def start(house: House, trials: int = 1) -> Handle:
    return await house.client.start_workflow(
        OneBacktest.run, backtest_job(trials), id=f"{house.queue}-{uuid.uuid4().hex[:8]}", task_queue=house.queue
    )


async def test_a_backtest_is_done_once_and_a_different_one_beside_it(house: House) -> None:
    async with house.worker():
        first, again = await (await start(house)).result(), await (await start(house)).result()
        other = await (await start(house, trials=2)).result()
    assert first == again
    assert other.trials == 2
    assert house.epochs() == [1, 1]
    assert (house.places.artifacts / first.trades_path).is_file()
    assert first.trades_path != other.trades_path


async def test_a_cancel_is_heard_within_two_seconds_and_the_process_is_dead_before_the_workflow_ends(
    house: House,
) -> None:
    hold(house.places, 1).touch()
    async with house.worker():
        handle = await start(house)
        process = await house.until_epoch(1)
        asked = time.monotonic()
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
        assert time.monotonic() - asked < HEARD_WITHIN
        assert gone(process)
    assert isinstance(ended.value.cause, CancelledError)
