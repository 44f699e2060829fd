"""SIGKILL for everything at once, at random moments of running cycles: nothing half-written is ever read, and in the
end every cycle has what an undisturbed one has.

The usual run kills once, `--chaos` fifty times.
"""

import asyncio
import os
import random
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from temporalio.api.enums.v1 import TaskQueueType

from client.namespace import is_polled
from domain.cycle import CYCLE_WORKFLOW, CycleStatus, Outcome
from domain.verdict import assess
from engine.pool import JobPool
from settings import PROJECT
from tests.metered.house import hasty
from workflows.policies import Policies
from workflows.research_cycle import ResearchCycleWorkflow

from .disk import read_everything
from .house import Cycle, House, figures, house_in
from .scenarios import PATIENCE, Bench, finished, finished_twin, nothing_left
from .server import Server, file_server


class Run(NamedTuple):
    """How often everything is killed, the longest that it may live once it works in seconds, and the cycles at once."""

    times: int
    longest: float
    at_once: int


SHORT, LONG = Run(1, 1.5, 1), Run(50, 3.0, 2)

TRIALS = {"trials", "expected_max_sharpe", "deflated_low"}
"""What a backtest says of the earlier ones in its store."""


def undying() -> Policies:
    """A cycle that is killed in its training more often than any policy would bear goes on all the same."""
    usual = hasty()
    rows = {name: getattr(usual, name).model_copy(update={"attempts": 0}) for name in ("train", "backtest", "ledger")}
    return usual.model_copy(update=rows)


async def test_whenever_everything_is_killed_only_whole_things_are_read_and_all_cycles_end_as_undisturbed_ones(
    bench: Bench, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(2**32))
    run = LONG if request.config.getoption("chaos") else SHORT
    twin = await finished_twin(bench, tmp_path)
    try:
        await _killed(random.Random(seed), run, tmp_path / "home", twin, bench.pool)
    except BaseException as error:
        error.add_note(f"again with CHAOS_SEED={seed}; the logs are in {tmp_path}")
        raise


async def _killed(chance: random.Random, run: Run, root: Path, twin: dict[str, Any], pool: JobPool) -> None:
    root.mkdir()
    running: list[Cycle] = []
    async with file_server(root) as server, house_in(root, await server.client()) as house:
        await house.open_ledger()
        for _ in range(run.times):
            async with _worker(server, house) as worker:
                living = asyncio.create_task(_keep_going(house, running, run.at_once))
                await asyncio.sleep(chance.uniform(0, run.longest))
                await _kill(server.pid, worker.pid)
                living.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await living
            await asyncio.to_thread(read_everything, house.settings)
            await server.kill()
            await server.start()
        async with house.orchestrator(), house.engine(pool):
            cycles = [cycle async for cycle in _all_cycles(house)]
            assert {cycle.id for cycle in running} <= {cycle.id for cycle in cycles}
            for cycle in cycles:
                assert (await asyncio.wait_for(cycle.result(), PATIENCE)).outcome is Outcome.COMPLETED
            for cycle in cycles:
                status = house.store.get(cycle.id)
                assert status
                assert _without_trials(status) == _told(twin)
                assert status.training
                assert status.backtest
                assert status.assessment == assess(status.training, status.backtest, status.gates)
                await nothing_left(house, status, trainings=1)
        assert await asyncio.to_thread(read_everything, house.settings) == (2 * len(cycles), len(cycles))
        assert cycles


async def _keep_going(house: House, running: list[Cycle], at_once: int) -> None:
    """See that so many cycles run, until somebody stops it."""
    while True:
        running[:] = [cycle for cycle in running if house.store.get(cycle.id) is None]
        if len(running) < at_once:
            running.append(await house.begin(finished(house).model_copy(update={"queue": True}), undying()))
        await asyncio.sleep(0.05)


async def _all_cycles(house: House) -> AsyncIterator[Cycle]:
    """Also those of whose start nobody has heard any more."""
    async for execution in house.client.list_workflows(f"WorkflowType = '{CYCLE_WORKFLOW}'"):
        yield house.client.get_workflow_handle_for(ResearchCycleWorkflow.run, execution.id)


def _without_trials(status: CycleStatus) -> dict[str, Any]:
    return _told(figures(status))


def _told(told: dict[str, Any]) -> dict[str, Any]:
    backtest = {name: value for name, value in told["backtest"].items() if name not in TRIALS}
    return {name: value for name, value in told.items() if name != "assessment"} | {"backtest": backtest}


@asynccontextmanager
async def _worker(server: Server, house: House) -> AsyncIterator[asyncio.subprocess.Process]:
    """The worker as people run it, at work; killed at the end."""
    usual = {name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "RESEARCH_"))}
    ours = {
        "RESEARCH_HOME": str(house.settings.home),
        "RESEARCH_TASK_QUEUE": house.settings.task_queue,
        "TEMPORAL_ADDRESS": server.address,
        "TEMPORAL_NAMESPACE": "default",
    }
    began = datetime.now(UTC)
    with (house.settings.home / "worker.log").open("a") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PROJECT / "worker.py")), env=usual | ours, stdout=log, stderr=log
        )
    try:
        client, engine = await server.client(), TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
        async with asyncio.timeout(PATIENCE):
            while not (
                await is_polled(client, house.settings.task_queue, since=began)
                and await is_polled(client, house.settings.engine_queue, engine, began)
            ):
                assert process.returncode is None, (house.settings.home / "worker.log").read_text()
                await asyncio.sleep(0.05)
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False  # gone between the two questions


async def _kill(*pids: int) -> None:
    """These and their children, as near to at once as it can be; over when none of them runs."""
    doomed = [psutil.Process(pid) for pid in pids]
    doomed += [child for process in doomed for child in process.children(recursive=True)]
    for process in doomed:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    async with asyncio.timeout(PATIENCE):
        while any(_runs(process) for process in doomed):
            await asyncio.sleep(0.01)
