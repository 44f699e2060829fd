"""The smallest workflow around an engine job, with the policies that a cycle has, and a process that is its worker."""

import asyncio
from datetime import timedelta
from pathlib import Path

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
    from engine.interface import BacktestJob, TrainJob
    from engine.pool import JobPool
    from workflows.policies import ActivityPolicy, Policies


def hasty(policy: ActivityPolicy) -> ActivityPolicy:
    """The same policy for people without patience: a dead worker is missed sooner, a retry comes sooner."""
    return policy.model_copy(
        update={"heartbeat": timedelta(seconds=3), "first_retry": timedelta(milliseconds=50), "backoff": 1.0}
    )


@workflow.defn
class OneTraining:
    @workflow.run
    async def run(self, job: TrainJob) -> TrainingResult:
        options = hasty(Policies().train).options()
        queue = f"{workflow.info().task_queue}-engine"
        result: TrainingResult = await workflow.execute_activity(
            "train", job, task_queue=queue, result_type=TrainingResult, **options
        )
        return result


@workflow.defn
class OneBacktest:
    @workflow.run
    async def run(self, job: BacktestJob) -> BacktestResult:
        options = hasty(Policies().backtest).options()
        queue = f"{workflow.info().task_queue}-engine"
        result: BacktestResult = await workflow.execute_activity(
            "backtest", job, task_queue=queue, result_type=BacktestResult, **options
        )
        return result


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
