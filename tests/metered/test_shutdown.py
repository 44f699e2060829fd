"""A worker that is told to stop in mid-call: the call stays charged, and the cycle goes on elsewhere."""

import asyncio
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from domain.cycle import Outcome
from tests.metered.books import differences
from tests.metered.house import ENVELOPE, metered_house
from tests.metered.provider import Call, Deed


async def test_a_worker_that_is_told_to_stop_in_a_call_leaves_it_charged_and_another_goes_on(
    temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    done = asyncio.Event()

    async def deed(call: Call, nth: int) -> Deed:
        if (call.phase, call.turn, nth) == ("design", 4, 1):
            await done.wait()
        return Deed.ANSWER

    async with metered_house(temporal_env.client, tmp_path, staffed=False) as house:
        house.provider.deed = deed
        worker = await house.worker_process()
        await house.open_ledger(tokens=ENVELOPE)
        cycle, _ = await house.start()
        await house.provider.until(lambda: len(house.provider.calls) == 4)
        worker.terminate()
        assert await asyncio.wait_for(worker.wait(), 60) == 0
        async with house.working():
            assert (await asyncio.wait_for(cycle.result(), 60)).outcome is Outcome.COMPLETED
            done.set()
            await house.provider.until(house.provider.is_idle)
            entries = await house.calls()

    assert differences(entries, house.provider.bills) == []
    assert [entry.seq for entry in entries if entry.state == "charged"] == [4]
    assert [entry[:2] for entry in house.provider.turns_billed(cycle.id)].count(("design", 4)) == 2
    log = (tmp_path / "worker.log").read_text()
    assert "the worker shuts down in mid-call: the answer is lost, and the cycle funds another" in log
    assert cycle.id in log
