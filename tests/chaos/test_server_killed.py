"""The server dies by SIGKILL in each phase of a cycle and starts again on its port and file: nothing is changed by it.

The usual run takes one phase, another one every day; `--chaos` takes all.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.cycle import AdmissionState, Outcome, Phase
from domain.ledger import budget_workflow_id
from tests.metered.books import differences
from tests.metered.house import ENVELOPE, metered_house
from tests.metered.provider import Call, Deed
from workflows.budget import BudgetWorkflow

from .house import Cycle, House, figures, house_in
from .scenarios import PATIENCE, Bench, finished, finished_twin, nothing_left
from .server import Server, file_server

PHASES = list(Phase)
"""While it is done it is being recorded."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All phases, or the one whose turn it is today."""
    if "phase" in metafunc.fixturenames:
        today = PHASES[datetime.now(UTC).date().toordinal() % len(PHASES)]
        metafunc.parametrize("phase", PHASES if metafunc.config.getoption("chaos") else [today])


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """On a file of its own."""
    async with file_server(tmp_path) as server:
        yield server


async def test_a_server_that_is_killed_and_started_again_changes_nothing(
    phase: Phase, server: Server, bench: Bench, tmp_path: Path
) -> None:
    if phase in (Phase.DESIGNING, Phase.ASSESSING):
        await _killed_in_a_call(phase, server, tmp_path)
    else:
        await _killed_offline(phase, server, bench, tmp_path)


async def _killed_in_a_call(phase: Phase, server: Server, root: Path) -> None:
    """The provider answers while the server is down."""
    down = asyncio.Event()
    turn = ("design" if phase is Phase.DESIGNING else "assess", 2)

    async def deed(call: Call, nth: int) -> Deed:
        if (call.phase, call.turn, nth) == (*turn, 1):
            await down.wait()
        return Deed.ANSWER

    async with metered_house(await server.client(), root) as house:
        house.provider.deed = deed
        await house.open_ledger(tokens=2 * ENVELOPE)
        cycle, _ = await house.start()
        await house.provider.until(lambda: turn in [(call.phase, call.turn) for call in house.provider.under_way])
        await server.kill()
        down.set()
        await house.provider.until(house.provider.is_idle)
        await server.start()
        result = await asyncio.wait_for(cycle.result(), PATIENCE)
        await house.provider.until(house.provider.is_idle)
        entries, balance = await house.calls(), await house.balance()
        assert result.outcome is Outcome.COMPLETED
        turns = [*(("design", turn) for turn in range(1, 8)), *(("assess", turn) for turn in range(1, 4))]
        assert list(dict.fromkeys(turn[:2] for turn in house.provider.turns_billed(cycle.id))) == turns
        assert differences(entries, house.provider.bills) == []
        assert result.tokens == sum(entry.total_tokens for entry in entries)
        assert (balance.active, balance.waiting, balance.tokens_held) == ((), (), 0)


async def _killed_offline(phase: Phase, server: Server, bench: Bench, root: Path) -> None:
    twin = await finished_twin(bench, root)
    async with (
        house_in(root, await server.client()) as house,
        house.orchestrator(),
        house.engine(bench.pool),
    ):
        await house.open_ledger()
        if phase is Phase.QUEUED:
            cycle = await _killed_while_queued(house, server)
        elif phase is Phase.DONE:
            cycle = await _killed_while_recording(house, server)
        else:
            cycle, _ = await house.start(finished(house))
            kind = "training" if phase is Phase.TRAINING else "backtest"
            attempts = house.settings.artifacts / cycle.id / ".attempts"
            await _until(lambda: bool(list(attempts.glob(f"{kind}-*/"))))
            await server.kill()
            await server.start()
        assert (await asyncio.wait_for(cycle.result(), PATIENCE)).outcome is Outcome.COMPLETED
        status = house.store.get(cycle.id)
        assert status
        assert figures(status) == twin
        await nothing_left(house, status, trainings=1)


async def _killed_while_queued(house: House, server: Server) -> Cycle:
    ledger = house.client.get_workflow_handle(budget_workflow_id(house.settings.task_queue))
    await ledger.execute_update(BudgetWorkflow.pause, "a test")
    cycle, admission = await house.start(house.request(seed=5, queue=True))
    assert admission.state is AdmissionState.QUEUED
    await server.kill()
    await server.start()
    await ledger.execute_update(BudgetWorkflow.resume)
    return cycle


async def _killed_while_recording(house: House, server: Server) -> Cycle:
    """The store is held by somebody else until the server is back."""
    database = house.settings.store_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        cycle, _ = await house.start(finished(house))
        await house.until(cycle, lambda status: status.phase is Phase.DONE)
        await server.kill()
        await server.start()
        other.execute("ROLLBACK")
    return cycle


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)
