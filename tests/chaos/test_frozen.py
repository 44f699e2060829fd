"""A worker that is frozen in a call beyond its heartbeat timeout and wakes later: its late answer changes no book."""

import asyncio
import os
import signal
from pathlib import Path

import psutil
from temporalio.testing import WorkflowEnvironment

from domain.cycle import Outcome
from domain.ledger import Entry
from tests.metered.books import differences
from tests.metered.house import ENVELOPE, MeteredHouse, metered_house
from tests.metered.provider import Call, Deed
from worker import orchestrator

from .armed_worker import Armed, Kind
from .house import Cycle, process
from .scenarios import PATIENCE


async def test_a_late_answer_of_a_frozen_worker_changes_nothing_in_the_books(
    temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    """The provider answers the frozen one too, and bills it."""
    asked_again = asyncio.Event()

    async def deed(call: Call, nth: int) -> Deed:
        if (call.phase, call.turn) == ("design", 2):
            await asked_again.wait() if nth == 1 else asked_again.set()
        return Deed.ANSWER

    client = temporal_env.client
    address = client.service_client.config.target_host
    async with metered_house(client, tmp_path, staffed=False) as house:
        house.provider.deed = deed
        await house.open_ledger(tokens=3 * ENVELOPE, active=2)
        armed = Armed(kind=Kind.TURNS, address=address, queue=house.scope, root=tmp_path, url=house.provider.url)
        async with process("tests.chaos.armed_worker", armed.model_dump(mode="json"), tmp_path / "log") as frozen:
            async with orchestrator(client, house.scope, []):
                cycle, _ = await house.start()
                await house.provider.until(lambda: len(house.provider.bills) == len(house.provider.under_way) == 1)
                os.kill(frozen.pid, signal.SIGSTOP)
                await house.provider.until(lambda: psutil.Process(frozen.pid).status() == psutil.STATUS_STOPPED)
            async with house.working():
                assert (await asyncio.wait_for(cycle.result(), PATIENCE)).outcome is Outcome.COMPLETED
                await house.provider.until(house.provider.is_idle)
                before = await booked(house, cycle)
            async with orchestrator(client, house.scope, []):
                os.kill(frozen.pid, signal.SIGCONT)
                later, _ = await house.start()
                # It takes this turn when it has given its late answer, and not before.
                await house.provider.until(lambda: house.provider.calls[-1].cycle_id == later.id)
                assert house.provider.calls[-1].sender == frozen.pid
                assert await booked(house, cycle) == before
                await later.terminate()

    assert [entry.seq for entry in before if entry.state == "charged"] == [2]
    bills = [bill for bill in house.provider.bills if bill.call.cycle_id == cycle.id]
    assert [bill.call.turn for bill in bills if bill.call.sender == frozen.pid] == [1, 2]
    assert differences(before, bills) == []


async def booked(house: MeteredHouse, cycle: Cycle) -> list[Entry]:
    """The ledger's calls of one cycle."""
    entries = [entry for entry in await house.calls() if entry.operation_id == cycle.id]
    return sorted(entries, key=lambda entry: entry.seq)
