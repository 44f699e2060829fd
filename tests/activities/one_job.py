"""The smallest workflow around an engine job, with the policies that a cycle has, and a process that is its worker."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from temporalio import workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from process_jobs import engine_in

    from activities.backtest import BacktestActivity
    from activities.heartbeat import INTERVAL
    from activities.train import TrainActivity
    from domain.results import BacktestResult, TrainingResult
    from engine.embedded import EmbeddedEngine
    from engine.handover import BacktestWork, TrainWork
    from engine.interface import BacktestJob, TrainJob
    from engine.pool import JobPool
    from workflows.failures import CycleFailed
    from workflows.jobs import finished
    from workflows.policies import ActivityPolicy, Policies


def hasty(policy: ActivityPolicy) -> ActivityPolicy:
    """The same policy for people without patience: a dead worker is missed sooner, a retry comes sooner."""
    return policy.model_copy(
        update={"heartbeat": timedelta(seconds=3), "first_retry": timedelta(milliseconds=50), "backoff": 1.0}
    )


R = TypeVar("R")


async def pause(failure: CycleFailed, delay: timedelta) -> None:
    """Between two attempts."""
    await workflow.sleep(delay)


async def engine_job(activity: str, job: TrainJob | BacktestJob, result_type: type[R], policy: ActivityPolicy) -> R:
    """As a cycle calls it; but a failure is raised as the activity's own."""
    queue = f"{workflow.info().task_queue}-engine"
    work = (TrainWork if isinstance(job, TrainJob) else BacktestWork).model_validate(job.model_dump())
    try:
        return await finished(activity, work, result_type, hasty(policy), Policies().withdraw, queue, activity, pause)
    except CycleFailed as failure:
        raise failure.__cause__ or failure from None


@workflow.defn
class OneTraining:
    @workflow.run
    async def run(self, job: TrainJob) -> TrainingResult:
        return await engine_job("train", job, TrainingResult, Policies().train)


@workflow.defn
class OneBacktest:
    @workflow.run
    async def run(self, job: BacktestJob) -> BacktestResult:
        return await engine_job("backtest", job, BacktestResult, Policies().backtest)


def host_worker(address: str, queue: str, root: str, training: str) -> None:
    """Be a worker process of the engine, until killed."""
    asyncio.run(_work(address, queue, Path(root), training))


async def _work(address: str, queue: str, root: Path, training: str) -> None:
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    with JobPool(1, root / "cache", warm=()) as pool:
        async with engine_queue_worker(client, queue, engine_in(root, pool, training)):
            await asyncio.Event().wait()


def engine_queue_worker(client: Client, queue: str, engine: EmbeddedEngine) -> Worker:
    """A worker of the engine's queue that hears a cancel as soon as a real one, and stops at once when told to."""
    return Worker(
        client,
        task_queue=queue,
        activities=[TrainActivity(engine).train, BacktestActivity(engine).backtest],
        max_concurrent_activities=1,
        max_heartbeat_throttle_interval=timedelta(seconds=INTERVAL),
        default_heartbeat_throttle_interval=timedelta(seconds=INTERVAL),
    )
