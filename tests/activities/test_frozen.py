"""A worker that is frozen in a backtest beyond its heartbeat timeout and wakes later: its late files change nothing."""

import os
import signal
import uuid
from pathlib import Path

from job_house import House
from one_job import OneBacktest
from process_jobs import backtest_job, hold
from process_watch import gone, stopped, until


async def test_a_frozen_worker_that_wakes_after_its_backtest_was_done_elsewhere_changes_nothing(house: House) -> None:
    hold(house.places, 1).touch()
    with house.worker_process() as worker:
        identity = f"{house.queue}-{uuid.uuid4().hex[:8]}"
        handle = await house.client.start_workflow(OneBacktest.run, backtest_job(), id=identity, task_queue=house.queue)
        frozen = [worker.pid, await house.until_epoch(1)]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        await until(lambda: all(stopped(pid) for pid in frozen))
        hold(house.places, 1).unlink()
        async with house.worker():
            result = await handle.result()
        published = house.tree()
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: gone(frozen[1]))
        worker.kill()
    assert house.tree() == published
    assert result.trades_path
    assert f"{Path(result.trades_path).parent.name}/result.json" in published
