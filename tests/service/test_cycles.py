"""Cycles whose trainings and backtests are done by a service: what becomes of them when it, or a worker, goes away."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment

from domain.cycle import Outcome, Phase
from domain.errors import ErrorCode
from tests.chaos.house import house_in
from workflows.research_cycle import ResearchCycleWorkflow

from .cycles import ACTIVITY, Stage, left_to_others, slow_to_try_again, until
from .fake_ktrdr import FakeKtrdr, Fault

KINDS = pytest.mark.parametrize("kind", ["training", "backtest"])
AWAY = {"training": ErrorCode.TRAINING_SERVICE_UNAVAILABLE, "backtest": ErrorCode.BACKTEST_SERVICE_UNAVAILABLE}
PHASE = {"training": Phase.TRAINING, "backtest": Phase.BACKTESTING}
REASON = "I changed my mind"


@pytest.fixture
async def stage(temporal_env: WorkflowEnvironment, tmp_path: Path, ktrdr: FakeKtrdr) -> AsyncIterator[Stage]:
    """A house of its own, with a worker of everything but training and backtest."""
    async with house_in(tmp_path, temporal_env.client) as house, house.orchestrator():
        yield Stage(house, ktrdr)


async def test_a_cycle_is_researched_at_a_service(stage: Stage) -> None:
    async with stage.worker():
        cycle, _ = await stage.house.start(stage.house.request())
        status = await stage.end(cycle)
    assert status.outcome is Outcome.COMPLETED
    assert status.training is not None
    assert status.backtest is not None
    assert status.training.service is not None
    assert status.backtest.service is not None
    (trained,), (tested,) = stage.ktrdr.of("training"), stage.ktrdr.of("backtest")
    assert (status.training.service.operation_id, status.backtest.service.operation_id) == (trained.id, tested.id)
    assert tested.body["model_path"] == status.training.service.model_path
    assert (status.backtest.total_return, status.backtest.gross) == (0.042, None)
    assert (stage.ktrdr.started, stage.ktrdr.deletes.total()) == (2, 0)


@KINDS
async def test_a_service_that_stays_away_fails_the_cycle_after_five_attempts_of_five_polls(
    kind: str, stage: Stage
) -> None:
    if kind == "training":
        await stage.ktrdr.stop()
    else:
        stage.ktrdr.gone_after = "training"
    async with stage.worker():
        cycle, _ = await stage.house.start(stage.house.request())
        status = await stage.end(cycle)
    assert (status.outcome, status.stopped_in) == (Outcome.FAILED, PHASE[kind])
    assert (await cycle.describe()).status is WorkflowExecutionStatus.FAILED
    assert status.failure is not None
    assert status.failure.code is AWAY[kind]
    assert f"The {kind} service at {stage.ktrdr.url} gave no usable answer 5 times in a row" in status.failure.message
    assert await stage.attempts(cycle, kind) == 5


@KINDS
async def test_a_service_that_goes_away_in_mid_work_for_good_fails_the_cycle_which_names_what_may_still_run(
    kind: str, stage: Stage
) -> None:
    stage.ktrdr.holds = kind
    async with stage.worker():
        cycle, _ = await stage.house.start(stage.house.request())
        operation = await stage.polled(kind)
        await stage.ktrdr.stop()
        status = await stage.end(cycle)
    assert (status.outcome, status.stopped_in) == (Outcome.FAILED, PHASE[kind])
    assert status.failure is not None
    assert status.failure.code is AWAY[kind]
    assert f"Operation {operation} may still run there" in status.failure.message
    assert (await stage.attempts(cycle, kind), stage.ktrdr.starts[operation]) == (5, 1)


@KINDS
async def test_a_service_that_comes_back_between_two_attempts_goes_on_with_the_same_operation(
    kind: str, stage: Stage
) -> None:
    stage.ktrdr.holds = kind
    async with stage.worker():
        cycle, _ = await stage.house.start(stage.house.request())
        operation = await stage.polled(kind)
        await stage.ktrdr.stop()
        await stage.paused(cycle)
        await stage.ktrdr.listen()
        await stage.polled(kind)
        assert "the next attempt" not in await stage.details(cycle)
        stage.ktrdr.release()
        status = await stage.end(cycle)
    assert status.outcome is Outcome.COMPLETED
    assert [op.id for op in stage.ktrdr.of(kind)] == [operation]
    assert stage.ktrdr.starts[operation] == 1
    assert stage.ktrdr.deletes.total() == 0
    assert await stage.attempts(cycle, kind) >= 2


@KINDS
@pytest.mark.parametrize("back", [True, False], ids=["the_service_is_back", "it_stays_away"])
async def test_a_cancel_between_two_attempts_ends_the_operation_or_says_that_it_may_still_run(
    back: bool, kind: str, stage: Stage
) -> None:
    stage.ktrdr.holds = kind
    async with stage.worker():
        cycle = await stage.house.begin(stage.house.request(), slow_to_try_again())
        operation = await stage.polled(kind)
        await stage.ktrdr.stop()
        await stage.paused(cycle)
        if back:
            await stage.ktrdr.listen()
        await cycle.signal(ResearchCycleWorkflow.cancel, REASON)
        status = await stage.end(cycle)
    assert (status.outcome, status.stopped_in) == (Outcome.CANCELLED, PHASE[kind])
    assert await stage.attempts(cycle, kind) == 1
    if back:
        assert stage.ktrdr.ops[operation].status == "cancelled"
        assert status.reason == REASON
    else:
        assert f"{REASON} ({ACTIVITY[kind]} operation {operation} may still run at the service" in (status.reason or "")


async def test_a_worker_killed_in_training_and_another_in_backtest_leave_one_start_of_each(
    stage: Stage, tmp_path: Path
) -> None:
    stage.ktrdr.holds, stage.ktrdr.token = "training", "let-me-in"
    async with stage.worker_process(tmp_path / "first.log") as first:
        cycle, _ = await stage.house.start(stage.house.request())
        trained = await stage.polled("training")
        await stage.told(cycle, trained)
        first.kill()
        await first.wait()
    stage.ktrdr.holds = "backtest"
    async with stage.worker_process(tmp_path / "second.log") as second:
        tested = await stage.polled("backtest")
        await stage.told(cycle, tested)
        second.kill()
        await second.wait()
    stage.ktrdr.release()
    async with stage.worker():
        status = await stage.end(cycle)
    assert status.outcome is Outcome.COMPLETED
    assert stage.ktrdr.starts == {trained: 1, tested: 1}
    assert stage.ktrdr.deletes.total() == 0
    log = (tmp_path / "first.log").read_text() + (tmp_path / "second.log").read_text()
    assert f"trainings and backtests are done by the service at {stage.ktrdr.url}" in log
    assert "let-me-in" not in log


@KINDS
async def test_a_worker_that_stops_in_order_hands_its_operation_over(kind: str, stage: Stage) -> None:
    stage.ktrdr.holds = kind
    async with stage.hurried_worker():
        cycle, _ = await stage.house.start(stage.house.request())
        operation = await stage.polled(kind)
    stage.ktrdr.release()
    async with stage.worker():
        status = await stage.end(cycle)
    assert status.outcome is Outcome.COMPLETED
    assert (stage.ktrdr.starts[operation], stage.ktrdr.started) == (1, 2)
    assert stage.ktrdr.deletes.total() == 0


@KINDS
@pytest.mark.parametrize("reason", [REASON, "cancelled"], ids=["signal", "web_ui"])
async def test_a_cancel_deletes_the_operation_at_the_service(reason: str, kind: str, stage: Stage) -> None:
    stage.ktrdr.holds = kind
    async with stage.worker():
        cycle, _ = await stage.house.start(stage.house.request())
        operation = await stage.polled(kind)
        await (cycle.signal(ResearchCycleWorkflow.cancel, reason) if reason == REASON else cycle.cancel())
        status = await stage.end(cycle)
    assert (status.outcome, status.stopped_in, status.reason) == (Outcome.CANCELLED, PHASE[kind], reason)
    assert stage.ktrdr.deletes == {operation: 1}
    assert stage.ktrdr.ops[operation].status == "cancelled"


async def test_an_operation_that_cannot_be_deleted_is_told_in_the_reason_of_the_cancel(stage: Stage) -> None:
    stage.ktrdr.holds = "training"
    stage.ktrdr.faults["delete"] = [Fault.ERROR, Fault.DROP, Fault.ERROR]
    async with stage.worker():
        cycle, _ = await stage.house.start(stage.house.request())
        operation = await stage.polled("training")
        await cycle.signal(ResearchCycleWorkflow.cancel, REASON)
        status = await stage.end(cycle)
    assert (status.outcome, status.stopped_in) == (Outcome.CANCELLED, Phase.TRAINING)
    assert status.reason is not None
    assert status.reason.startswith(REASON)
    assert f"operation {operation} may still run at the service" in status.reason
    assert "HTTP 500: fault 500" in status.reason
    assert stage.ktrdr.requests["delete"] == 3


async def test_a_worker_that_stops_while_it_deletes_sees_it_through(stage: Stage) -> None:
    stage.ktrdr.holds = "training"
    stage.ktrdr.faults["delete"] = [Fault.ERROR]
    async with stage.hurried_worker():
        cycle, _ = await stage.house.start(stage.house.request())
        operation = await stage.polled("training")
        await cycle.signal(ResearchCycleWorkflow.cancel, REASON)
        await until(lambda: stage.ktrdr.requests["delete"] == 1)
    status = await stage.end(cycle)
    assert (status.outcome, status.reason) == (Outcome.CANCELLED, REASON)
    assert stage.ktrdr.ops[operation].status == "cancelled"
    assert stage.ktrdr.requests["delete"] == 2


async def test_a_cancel_while_the_service_is_away_says_what_may_still_run_there(stage: Stage) -> None:
    stage.ktrdr.holds = "training"
    async with stage.worker(poll_interval=1.0):
        cycle, _ = await stage.house.start(stage.house.request())
        operation = await stage.polled("training", more=1)
        await stage.ktrdr.stop()
        await cycle.signal(ResearchCycleWorkflow.cancel, REASON)
        status = await stage.end(cycle)
    assert status.outcome is Outcome.CANCELLED
    assert status.reason is not None
    assert f"operation {operation} may still run at the service" in status.reason


@KINDS
async def test_a_terminated_cycle_leaves_nothing_running_at_the_service(kind: str, stage: Stage) -> None:
    stage.ktrdr.holds = kind
    async with stage.worker():
        cycle, _ = await stage.house.start(stage.house.request())
        operation = await stage.polled(kind)
        await cycle.terminate("from outside")
        await until(lambda: stage.ktrdr.ops[operation].status == "cancelled")
    assert stage.ktrdr.deletes == {operation: 1}


async def test_a_frozen_worker_that_wakes_deletes_nothing_of_its_successors(stage: Stage, tmp_path: Path) -> None:
    stage.ktrdr.holds = "training"
    log = tmp_path / "frozen.log"
    async with stage.worker_process(log) as frozen:
        cycle, _ = await stage.house.start(stage.house.request())
        operation = await stage.polled("training")
        await stage.told(cycle, operation)
        os.kill(frozen.pid, signal.SIGSTOP)
        await until(lambda: psutil.Process(frozen.pid).status() == psutil.STATUS_STOPPED)
        async with stage.worker():
            await stage.polled("training")
            os.kill(frozen.pid, signal.SIGCONT)
            await until(lambda: left_to_others(operation) in log.read_text())
            stage.ktrdr.release()
            status = await stage.end(cycle)
    assert status.outcome is Outcome.COMPLETED
    assert stage.ktrdr.starts[operation] == 1
    assert stage.ktrdr.deletes.total() == 0
