"""What a cycle's work leaves at a service when the cycle ends in an odd moment: it is ended, or named."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.control import ControlActivities
from domain.cycle import Outcome, Phase
from domain.errors import ErrorCode
from engine.handover import TrainWork
from tests.chaos.house import house_in
from tests.metered.engine import InstantEngine
from worker import SHUTDOWN_PATIENCE, engine_worker, jobs_worker
from workflows.research_cycle import ResearchCycleWorkflow

from .conftest import Bench, left_at
from .cycles import Stage, left_to_others, slow_to_try_again, until
from .fake_ktrdr import FakeKtrdr

REASON = "I changed my mind"


@pytest.fixture
async def bare(temporal_env: WorkflowEnvironment, tmp_path: Path, ktrdr: FakeKtrdr) -> AsyncIterator[Stage]:
    """A house of its own, without any worker."""
    async with house_in(tmp_path, temporal_env.client) as house:
        yield Stage(house, ktrdr)


@pytest.fixture
async def stage(bare: Stage) -> AsyncIterator[Stage]:
    """With a worker of everything but training and backtest."""
    async with bare.house.orchestrator():
        yield bare


@pytest.mark.parametrize("worker_comes", [True, False])
async def test_a_cancel_while_the_next_attempt_waits_for_a_worker_ends_the_operation_or_says_what_to_do(
    worker_comes: bool, stage: Stage
) -> None:
    stage.ktrdr.holds = "training"
    policies = slow_to_try_again()
    if not worker_comes:
        soon = policies.withdraw.model_copy(update={"schedule_to_close": timedelta(seconds=1)})
        policies = policies.model_copy(update={"withdraw": soon})
    async with stage.hurried_worker():
        cycle = await stage.house.begin(stage.house.request(), policies)
        operation = await stage.polled("training")
    await stage.until_asked(cycle, "train", 2)
    await cycle.signal(ResearchCycleWorkflow.cancel, REASON)
    await stage.until_asked(cycle, "withdraw")
    if worker_comes:
        async with stage.worker():
            status = await stage.end(cycle)
        assert status.reason == REASON
        assert stage.ktrdr.ops[operation].status == "cancelled"
    else:
        status = await stage.end(cycle)
        assert f"{REASON} (train operation {operation} may still run at the service" in (status.reason or "")
        assert "End it there, and see that a worker with KTRDR_API_URL runs" in (status.reason or "")
    assert (status.outcome, status.stopped_in) == (Outcome.CANCELLED, Phase.TRAINING)


@pytest.mark.parametrize("ended_well", [True, False])
async def test_a_cancel_in_the_same_moment_as_the_end_of_an_attempt_leaves_nothing_at_the_service(
    ended_well: bool, bare: Stage
) -> None:
    bare.ktrdr.holds = "training"
    async with bare.worker() if ended_well else bare.hurried_worker():
        async with bare.house.orchestrator():
            cycle, _ = await bare.house.start(bare.house.request())
            operation = await bare.polled("training")
            await bare.told(cycle, operation)
        if ended_well:
            bare.ktrdr.release()
    await cycle.cancel()
    async with bare.house.orchestrator(), bare.worker():
        status = await bare.end(cycle)
    assert (status.outcome, status.stopped_in) == (Outcome.CANCELLED, Phase.TRAINING)
    assert bare.ktrdr.ops[operation].status == ("completed" if ended_well else "cancelled")
    assert await bare.attempts(cycle, "training") == 1
    assert bare.ktrdr.of("backtest") == []


async def test_a_cancel_does_not_wait_for_the_trainings_of_others(stage: Stage) -> None:
    stage.ktrdr.holds = "training"
    async with stage.worker(jobs=1):
        cycle = await stage.house.begin(stage.house.request(), slow_to_try_again())
        operation = await stage.polled("training")
        await stage.ktrdr.stop()
        await stage.paused(cycle)
        await stage.ktrdr.listen()
        other, _ = await stage.house.start(stage.house.request(seed=1))
        await until(lambda: len(stage.ktrdr.of("training")) == 2)
        await cycle.signal(ResearchCycleWorkflow.cancel, REASON)
        await until(lambda: stage.ktrdr.ops[operation].status == "cancelled")
        await stage.end_of_run(cycle)
        assert stage.ktrdr.of("training")[1].status == "running"
        await other.cancel()
        await stage.end(other)


async def test_a_worker_without_a_service_forgets_no_operation_of_one(stage: Stage) -> None:
    stage.ktrdr.holds = "training"
    house = stage.house
    async with stage.hurried_worker():
        cycle = await house.begin(house.request(), slow_to_try_again())
        operation = await stage.polled("training")
    async with engine_worker(house.client, house.settings.engine_queue, InstantEngine(), 1):
        await stage.paused(cycle)
    waiting = (await cycle.query(ResearchCycleWorkflow.status)).waiting_for or ""
    for words in ("training_service_unavailable", f"operation {operation}", "Set KTRDR_API_URL on all workers"):
        assert words in waiting
    async with stage.worker():
        await cycle.signal(ResearchCycleWorkflow.cancel, REASON)
        status = await stage.end(cycle)
    assert status.reason == REASON
    assert stage.ktrdr.ops[operation].status == "cancelled"


async def test_a_training_that_takes_too_long_is_ended_with_the_last_attempt_within_the_time_of_all(
    stage: Stage,
) -> None:
    stage.ktrdr.holds = "training"
    one = timedelta(seconds=1)
    policies = slow_to_try_again(attempts=2, start_to_close=one, first_retry=timedelta(milliseconds=50))
    async with stage.worker():
        cycle = await stage.house.begin(stage.house.request(), policies)
        status = await stage.end(cycle)
    [operation] = stage.ktrdr.of("training")
    assert (operation.status, stage.ktrdr.starts[operation.id]) == ("cancelled", 1)
    assert status.failure
    assert status.failure.code is ErrorCode.TRAINING_SERVICE_UNAVAILABLE
    assert "an attempt took longer than its policy allows" in status.failure.message
    assert "may still run" not in status.failure.message
    assert len(await stage.asked(cycle, "withdraw")) == 1
    first, second = await stage.asked(cycle, "train")
    bounds = [asked.schedule_to_close_timeout.ToTimedelta() for asked in (first, second)]
    assert bounds[0] == policies.train.schedule_to_close
    assert bounds[1] <= bounds[0] - one


async def test_what_a_policy_does_not_try_again_has_one_attempt(stage: Stage) -> None:
    await stage.ktrdr.stop()
    policies = slow_to_try_again(not_retried=(ErrorCode.TRAINING_SERVICE_UNAVAILABLE.value,))
    async with stage.worker():
        cycle = await stage.house.begin(stage.house.request(), policies)
        status = await stage.end(cycle)
    assert status.failure
    assert status.failure.code is ErrorCode.TRAINING_SERVICE_UNAVAILABLE
    assert await stage.attempts(cycle, "training") == 1


async def test_a_cycle_that_is_reset_in_training_goes_on_with_the_operation_of_its_earlier_run(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "temporalio.activity")
    stage.ktrdr.holds = "training"
    async with stage.worker():
        cycle, _ = await stage.house.start(stage.house.request())
        operation = await stage.polled("training")
        now = await stage.reset(cycle, "training")
        await until(lambda: left_to_others(operation) in caplog.text)
        await stage.polled("training")
        stage.ktrdr.release()
        status = await stage.end_of_run(now)
    assert status.outcome is Outcome.COMPLETED
    assert stage.ktrdr.starts[operation] == 1
    assert stage.ktrdr.deletes.total() == 0


async def test_a_cycle_that_is_reset_in_its_backtest_begins_another_and_ends_the_first(stage: Stage) -> None:
    stage.ktrdr.holds = "backtest"
    async with stage.worker():
        cycle, _ = await stage.house.start(stage.house.request())
        first = await stage.polled("backtest")
        now = await stage.reset(cycle, "backtest")
        await until(lambda: stage.ktrdr.ops[first].status == "cancelled")
        await until(lambda: len(stage.ktrdr.of("backtest")) == 2)
        stage.ktrdr.release()
        status = await stage.end_of_run(now)
    assert status.outcome is Outcome.COMPLETED
    assert stage.ktrdr.deletes == {first: 1}


async def test_a_cycle_that_is_reset_after_it_was_told_of_its_backtest_goes_on_with_it(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "temporalio.activity")
    stage.ktrdr.holds = "backtest"
    async with stage.hurried_worker():
        cycle, _ = await stage.house.start(stage.house.request())
        operation = await stage.polled("backtest")
    await stage.until_asked(cycle, "backtest", 2)
    async with stage.worker():
        await stage.polled("backtest")
        now = await stage.reset(cycle, "backtest")
        await until(lambda: left_to_others(operation) in caplog.text)
        stage.ktrdr.release()
        status = await stage.end_of_run(now)
    assert status.outcome is Outcome.COMPLETED
    assert (stage.ktrdr.starts[operation], stage.ktrdr.deletes.total()) == (1, 0)


def test_what_a_job_reports_at_once_is_kept_back_for_less_than_a_beat(temporal_env: WorkflowEnvironment) -> None:
    config = jobs_worker(
        temporal_env.client, "some-queue", [ControlActivities(temporal_env.client).request_cancel], 1, SHUTDOWN_PATIENCE
    ).config()
    kept_back = {config.get("max_heartbeat_throttle_interval"), config.get("default_heartbeat_throttle_interval")}
    assert kept_back == {timedelta(seconds=0.05)}


def test_what_an_earlier_attempt_told_stays_where_the_next_one_tells_nothing_that_is_understood(bench: Bench) -> None:
    work = TrainWork.model_validate(bench.training().model_dump()).after([left_at("op-1")])
    assert work.after([{"of": "another version"}]) == work.after([]) == work
    assert work.after([left_at("op-2")]).handed_over == left_at("op-2")
