"""Cycles that somebody ends, in every phase and in every way: what runs stops at once, nothing stays held, and the
store says what they had found, in which phase they were, and why they ended.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from process_jobs import journal
from process_watch import gone, until
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from domain.cycle import AdmissionState, CycleResult, CycleStatus, Outcome, Phase
from domain.errors import LEFT_RUNNING, ErrorCode
from domain.ledger import BudgetInput, BudgetStatus, Limits, budget_workflow_id
from domain.results import TrainingResult
from engine.embedded import EmbeddedEngine
from engine.interface import Progress, Report, TrainJob
from engine.pool import JobPool
from workflows.budget import BudgetWorkflow
from workflows.policies import Policies
from workflows.research_cycle import ResearchCycleWorkflow

from .conftest import SMALL, House, open_house
from .error_stage import store_comes_back, store_goes_away

Cycle = WorkflowHandle[ResearchCycleWorkflow, CycleResult]

HEARD_WITHIN = 2.0
PHASES = [Phase.QUEUED, Phase.DESIGNING, Phase.TRAINING, Phase.BACKTESTING, Phase.ASSESSING]
HOLDING = {
    Phase.QUEUED: partial(EmbeddedEngine, training="process_jobs:held_for_ever"),
    Phase.TRAINING: partial(EmbeddedEngine, training="process_jobs:held_for_ever"),
    Phase.BACKTESTING: partial(SMALL, backtest="process_jobs:held_for_ever"),
}
"""Engines whose jobs go on until they are killed. A queued cycle waits behind one that such an engine trains."""


async def _signal(cycle: Cycle) -> None:
    await cycle.signal(ResearchCycleWorkflow.cancel, "I changed my mind")


async def _cancel(cycle: Cycle) -> None:
    await cycle.cancel()


async def _terminate(cycle: Cycle) -> None:
    await cycle.terminate(reason="as by a person in the Web UI")


Way = Callable[[Cycle], Awaitable[None]]
CANCELED, TERMINATED = WorkflowExecutionStatus.CANCELED, WorkflowExecutionStatus.TERMINATED
WAYS = [
    pytest.param(_signal, CANCELED, "I changed my mind", id="signal"),
    pytest.param(_cancel, CANCELED, "cancelled", id="web_ui"),
    pytest.param(_terminate, TERMINATED, "terminated: as by a person in the Web UI", id="terminate"),
]


@asynccontextmanager
async def house_that_holds(phase: Phase, client: Client, root: Path, pool: JobPool) -> AsyncIterator[House]:
    """With a ledger for one cycle, which looks every second whether it still runs."""
    async with open_house(client, root, pool, engine=HOLDING.get(phase, SMALL)) as house:
        if phase not in HOLDING:
            house.faults.hold = phase
        await house.client.start_workflow(
            BudgetWorkflow.run,
            BudgetInput(limits=Limits(max_active_cycles=1), sweep_every=timedelta(seconds=1)),
            id=budget_workflow_id(house.scope),
            task_queue=house.queue,
        )
        yield house


async def held_in(phase: Phase, house: House) -> Cycle:
    """A cycle that is in this phase and goes no further."""
    cycle, _ = await house.start(house.request(strategy=None) if phase is Phase.DESIGNING else house.request())
    if phase in HOLDING:
        engine_phase = Phase.TRAINING if phase is Phase.QUEUED else phase
        await house.until(cycle, lambda status: status.phase is engine_phase)
        epochs = 1 if engine_phase is Phase.TRAINING else 7
        await until(lambda: len(journal(house.places)) == epochs)
    else:
        await asyncio.wait_for(house.faults.held.wait(), 60)
    if phase is Phase.QUEUED:
        cycle, admission = await house.start(house.request(queue=True))
        assert admission.state is AdmissionState.QUEUED
    return cycle


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(("way", "closed_as", "reason"), WAYS)
async def test_a_cycle_ends_in_its_phase_with_what_it_had_and_nothing_runs_on(
    way: Way,
    closed_as: WorkflowExecutionStatus,
    reason: str,
    phase: Phase,
    temporal_env: WorkflowEnvironment,
    tmp_path: Path,
    small_pool: JobPool,
    keep_history,
) -> None:
    async with house_that_holds(phase, temporal_env.client, tmp_path, small_pool) as house:
        cycle = await held_in(phase, house)
        before = await cycle.query(ResearchCycleWorkflow.status)
        asked = time.monotonic()
        await way(cycle)
        await stopped(phase, house)
        if closed_as is CANCELED:
            await ended(cycle)
        assert time.monotonic() - asked < HEARD_WITHIN
        if way is _signal and phase is not Phase.QUEUED:
            await keep_history(f"cancelled_while_{phase.value}", cycle)

        assert (await cycle.describe()).status is closed_as
        record = await recorded(house, cycle)
        assert (record.outcome, record.stopped_in, record.reason) == (Outcome.CANCELLED, phase, reason)
        assert (record.strategy, record.training, record.backtest, record.gates) == (
            before.strategy,
            before.training,
            before.backtest,
            before.gates,
        )
        assert [one.phase for one in record.timings] == [one.phase for one in before.timings]
        assert all(one.ended_at for one in record.timings)
        if closed_as is CANCELED:
            assert record == await cycle.query(ResearchCycleWorkflow.status)
        await nobody_holds(house, cycle)
        await house.end_what_runs()


async def stopped(phase: Phase, house: House) -> None:
    """Wait until what ran for this phase runs no more: in the engine's phases until its process is dead."""
    if phase in (Phase.TRAINING, Phase.BACKTESTING):
        process, _ = journal(house.places)[-1]
        await until(lambda: gone(process))
    elif phase is not Phase.QUEUED:
        await asyncio.wait_for(house.faults.stopped.wait(), 60)


async def ended(cycle: Cycle) -> None:
    with pytest.raises(WorkflowFailureError):
        await asyncio.wait_for(cycle.result(), 60)


async def recorded(house: House, cycle: Cycle) -> CycleStatus:
    """What the store has of it, as soon as it has something."""
    async with asyncio.timeout(60):
        while (record := await asyncio.to_thread(house.store.get, cycle.id)) is None:
            await asyncio.sleep(0.05)
    return record


async def nobody_holds(house: House, cycle: Cycle) -> None:
    """Wait until the ledger has nothing for this cycle."""
    ledger = house.client.get_workflow_handle(budget_workflow_id(house.scope))
    async with asyncio.timeout(60):
        while True:
            status = await ledger.query("status", result_type=BudgetStatus)
            if cycle.id not in [one.cycle_id for one in (*status.active, *status.waiting)]:
                return
            await asyncio.sleep(0.05)


async def test_a_cycle_that_lived_longer_than_it_may_is_recorded_as_failed_with_what_it_had(
    temporal_env: WorkflowEnvironment, tmp_path: Path, small_pool: JobPool
) -> None:
    async with house_that_holds(Phase.TRAINING, temporal_env.client, tmp_path, small_pool) as house:
        cycle, _ = await house.start(house.request(), Policies(life=timedelta(seconds=4)))
        record = await recorded(house, cycle)
        assert (await cycle.describe()).status is WorkflowExecutionStatus.TIMED_OUT
        assert record.failure
        assert (record.outcome, record.stopped_in, record.failure.code) == (
            Outcome.FAILED,
            Phase.TRAINING,
            ErrorCode.INTERNAL_ERROR,
        )
        assert record.strategy
        for words in ("the server ended the cycle after 4 s", "longer than a cycle may", "start the cycle again"):
            assert words in record.failure.message
        await stopped(Phase.TRAINING, house)
        await nobody_holds(house, cycle)


async def test_a_terminated_cycle_keeps_its_place_until_the_store_has_its_record(
    temporal_env: WorkflowEnvironment, tmp_path: Path, small_pool: JobPool, caplog: pytest.LogCaptureFixture
) -> None:
    async with house_that_holds(Phase.TRAINING, temporal_env.client, tmp_path, small_pool) as house:
        cycle = await held_in(Phase.TRAINING, house)
        store_goes_away(house)
        await cycle.terminate(reason="as by a person in the Web UI")
        await until(lambda: f"{cycle.id} was ended from outside, and is not recorded" in caplog.text)
        ledger = house.client.get_workflow_handle(budget_workflow_id(house.scope))
        held = await ledger.query("status", result_type=BudgetStatus)
        assert [one.cycle_id for one in held.active] == [cycle.id]
        store_comes_back(house)
        assert (await recorded(house, cycle)).outcome is Outcome.CANCELLED
        await nobody_holds(house, cycle)


async def test_a_queued_cycle_waits_its_turn_behind_one_that_is_cancelled(small_house: House) -> None:
    house = small_house
    house.faults.hold = Phase.TRAINING
    first, _ = await house.start(house.request())
    await house.faults.held.wait()
    second, admission = await house.start(house.request(queue=True))
    third, behind = await house.start(house.request(queue=True))
    assert (admission.position, behind.position) == (1, 2)
    waiting = await second.query(ResearchCycleWorkflow.status)
    assert waiting.waiting_for is not None
    await second.signal(ResearchCycleWorkflow.cancel, "not now")
    await ended(second)
    house.faults.hold = None
    await first.signal(ResearchCycleWorkflow.cancel, "make way")
    assert (await third.result()).outcome is Outcome.COMPLETED


async def test_a_terminated_cycle_does_not_keep_its_slot_from_the_next(small_house: House) -> None:
    house = small_house
    house.faults.hold = Phase.TRAINING
    first, _ = await house.start(house.request())
    await house.faults.held.wait()
    await first.terminate(reason="from outside")
    house.faults.hold = None
    second, admission = await house.start(house.request())
    assert admission.state is AdmissionState.GRANTED
    assert (await second.result()).outcome is Outcome.COMPLETED


async def test_a_cycle_that_no_ledger_answers_says_so_and_can_be_cancelled(
    temporal_env: WorkflowEnvironment, tmp_path: Path, pool: JobPool
) -> None:
    async with open_house(temporal_env.client, tmp_path, pool, without=frozenset({"ensure_budget"})) as house:
        handle, admission = await house.start(house.request())
        assert admission.state is AdmissionState.PENDING
        assert "ensure_budget" in admission.message
        await handle.signal(ResearchCycleWorkflow.cancel, "enough")
        await ended(handle)
        recorded = house.store.get(handle.id)
        assert recorded is not None
        assert (recorded.outcome, recorded.stopped_in) == (Outcome.CANCELLED, Phase.QUEUED)


async def test_a_cycle_that_is_cancelled_as_soon_as_it_is_admitted_leaves_no_work_behind(
    temporal_env: WorkflowEnvironment, tmp_path: Path, small_pool: JobPool
) -> None:
    async with open_house(temporal_env.client, tmp_path, small_pool, engine=HOLDING[Phase.TRAINING]) as house:
        cycle, _ = await house.start(house.request())
        asked = time.monotonic()
        await cycle.signal(ResearchCycleWorkflow.cancel, "enough")
        await ended(cycle)
        assert time.monotonic() - asked < HEARD_WITHIN
        assert (await cycle.describe()).status is CANCELED
        assert all(gone(process) for process, _ in journal(house.places))


async def _working_on(handle: Cycle, step: str) -> None:
    """Wait until the running activity's heartbeat tells of this step."""
    async with asyncio.timeout(60):
        while True:
            pending = (await handle.describe()).raw_description.pending_activities
            if any(step.encode() in p.data for a in pending for p in a.heartbeat_details.payloads):
                return
            await asyncio.sleep(0.05)


class Unreachable(EmbeddedEngine):
    """An engine whose operation goes on at its service, whatever it is told."""

    async def train(self, job: TrainJob, report: Report, earlier: Progress | None = None) -> TrainingResult:
        report(Progress(fraction=0.5, step="epoch 1 of 2"))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ApplicationError(
                "operation op_1 may still run at the service: it answered 500 three times",
                type=LEFT_RUNNING,
                non_retryable=True,
            ) from None
        raise AssertionError("nobody ends the wait but a cancel")


@pytest.mark.parametrize(
    ("way", "why"), [pytest.param(_signal, "I changed my mind", id="signal"), (_cancel, "cancelled")]
)
async def test_what_could_not_be_ended_at_a_service_is_in_the_reason_of_the_cancelled_cycle(
    way: Way, why: str, temporal_env: WorkflowEnvironment, tmp_path: Path, small_pool: JobPool
) -> None:
    async with open_house(temporal_env.client, tmp_path, small_pool, engine=Unreachable) as house:
        cycle, _ = await house.start(house.request())
        await _working_on(cycle, "epoch 1 of 2")
        await way(cycle)
        await ended(cycle)
        assert (await cycle.describe()).status is CANCELED
        status = await cycle.query(ResearchCycleWorkflow.status)
        assert (status.outcome, status.stopped_in) == (Outcome.CANCELLED, Phase.TRAINING)
        assert status.reason == (
            f"{why} (train operation op_1 may still run at the service: it answered 500 three times)"
        )
        assert house.store.get(cycle.id) == status
        await nobody_holds(house, cycle)
