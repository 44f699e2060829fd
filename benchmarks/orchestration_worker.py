"""A worker of the benchmark of orchestration, in a process of its own: `ADDRESS QUEUE ROOT KIND PROCESSES [GO LOG]`.

Says "ready" once it works, and ends with its standard input. KIND is `ours`: the real workflows, ledger, store,
metrics and interceptors; only design, training, backtest and assessment have their results at once. `bare`: a workflow
of four activities that do nothing. `real`: nothing is left out, and so many PROCESSES of the engine work.

GO and LOG: the second step writes to LOG that it begins, and ends once GO is there.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from temporalio import activity
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from benchmarks.bare_workflow import STEPS, BareWorkflow
from benchmarks.processes import ending_with_standard_input
from domain.cycle import StrategyRef
from domain.results import Assessment, TrainingResult, Verdict
from domain.turns import AssessAnswer, AssessTurn, DesignAnswer, DesignTurn
from engine.embedded import EmbeddedEngine
from engine.interface import Engine, Progress, Report, TrainJob
from engine.pool import JobPool
from observability import exposition
from observability.metrics import Metrics
from observability.readings import Readings
from observability.watching import Observer
from settings import PROJECT, Settings
from store.cycles import Store
from store.strategies import StrategyFiles
from tests.metered.engine import InstantEngine
from worker import Activity, engine_worker, orchestrator, orchestrator_activities, places

STRATEGY = PROJECT / "engine" / "samples" / "planted_edge.yaml"

NOTHING = Assessment(verdict=Verdict.NEUTRAL, strengths=("it is quick",), weaknesses=("nothing is done",))

AT_ONCE = 100
"""Activities of one kind; as many as a bare worker takes."""


@dataclass(frozen=True)
class Held:
    """Where the second step says that it begins, and what it waits for."""

    go: Path
    log: Path

    async def pass_by(self, name: str) -> None:
        """Say so, then wait."""
        with self.log.open("a") as file:
            file.write(f"{name}\n")
            file.flush()
            os.fsync(file.fileno())
        while not self.go.exists():
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class HeldEngine(InstantEngine):
    """Results at once, as soon as they may."""

    held: Held

    async def train(self, job: TrainJob, report: Report, earlier: Progress | None = None) -> TrainingResult:
        """When it may."""
        await self.held.pass_by(job.cycle_id)
        return await InstantEngine.train(self, job, report, earlier)


def bare_activities(held: Held | None) -> list[Activity]:
    """One a step."""

    def named(step: str) -> Activity:
        @activity.defn(name=step)
        async def work(name: str) -> str:
            if held and step == STEPS[1]:
                await held.pass_by(name)
            return name

        return work

    return [named(step) for step in STEPS]


def instant_turns(strategy: StrategyRef) -> list[Activity]:
    """A design and an assessment that are there at once."""

    @activity.defn
    async def design(turn: DesignTurn) -> DesignAnswer:
        return DesignAnswer(strategy=strategy, hypothesis="nothing is done here")

    @activity.defn
    async def assess(turn: AssessTurn) -> AssessAnswer:
        return AssessAnswer(assessment=NOTHING)

    return [design, assess]


async def _work(address: str, queue: str, root: str, kind: str, processes: str, *hold: str) -> None:
    held = Held(Path(hold[0]), Path(hold[1])) if hold else None
    async with AsyncExitStack() as stack:
        made, at = exposition.runtime_with_metrics()
        client = await Client.connect(address, data_converter=pydantic_data_converter, runtime=made)
        if kind == "bare":
            await stack.enter_async_context(
                Worker(client, task_queue=queue, workflows=[BareWorkflow], activities=bare_activities(held))
            )
        else:
            settings = Settings(home=Path(root), task_queue=queue, engine_processes=int(processes))
            await _work_as_ours(stack, client, at, settings, kind, held)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


async def _work_as_ours(
    stack: AsyncExitStack, client: Client, metrics_at: str, settings: Settings, kind: str, held: Held | None
) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    observer = Observer(Metrics())
    observer.metrics.registry.register(exposition.SdkMetrics(metrics_at))
    observer.metrics.registry.register(Readings(client, asyncio.get_running_loop(), settings.task_queue))
    store = Store.open(settings.store_url, migrate=True)
    stack.callback(store.close)
    activities = orchestrator_activities(client, settings, store, None, observer)
    engine: Engine = HeldEngine(held) if held else InstantEngine()
    if kind == "real":
        pool = stack.enter_context(JobPool(settings.engine_processes, settings.home / "cache"))
        engine = EmbeddedEngine(pool, places(settings))
    else:
        strategy = StrategyFiles(settings.strategies).save("planted", STRATEGY.read_text())
        instant = instant_turns(strategy)
        replaced = {one.__name__ for one in instant}
        activities = [*(one for one in activities if one.__name__ not in replaced), *instant]
    await stack.enter_async_context(orchestrator(client, settings.task_queue, activities, observer.interceptors))
    at_once = settings.engine_processes if kind == "real" else AT_ONCE
    jobs = engine_worker(client, settings.engine_queue, engine, at_once, interceptors=observer.interceptors)
    await stack.enter_async_context(jobs)


if __name__ == "__main__":
    with ending_with_standard_input():
        asyncio.run(_work(*sys.argv[1:]))
