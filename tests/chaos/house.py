"""A house of cycles that work on this machine, whose processes a test starts and kills one by one."""

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.worker import Worker

from domain.cycle import Admission, CycleRequest, CycleResult, CycleStatus, DesignerKind
from domain.ledger import BudgetInput, BudgetStatus, budget_workflow_id
from engine.embedded import EmbeddedEngine
from engine.pool import JobPool
from engine.service.client import Service
from engine.service.engine import ServiceEngine
from settings import PROJECT, Settings
from store import database
from store.cycles import Store
from store.strategies import StrategyFiles
from tests.metered.house import OPEN_GATES, hasty
from worker import engine_worker, orchestrator, orchestrator_activities, places
from workflows.budget import BudgetWorkflow
from workflows.cycle_input import CycleInput
from workflows.policies import Policies
from workflows.research_cycle import ResearchCycleWorkflow

Cycle = WorkflowHandle[ResearchCycleWorkflow, CycleResult]

SMALL = PROJECT / "tests" / "workflows" / "small_strategy.yaml"
PATIENCE = 1.0
POLL = 0.1
"""Seconds that a service has for an answer, and between two polls."""

TASK_TIMEOUT = timedelta(seconds=2)
"""After which a workflow's task is taken for lost, with the worker that had it."""

NOT_THE_SAME = {"seconds", "model_path", "history_path", "equity_path", "trades_path"}
"""What differs in the results of equal jobs of two cycles: the folders, and how long it took."""


@dataclass(frozen=True)
class House:
    """One folder, one task queue, one ledger."""

    client: Client
    settings: Settings
    store: Store

    @property
    def files(self) -> StrategyFiles:
        """The strategies."""
        return StrategyFiles(self.settings.strategies)

    def orchestrator(self) -> Worker:
        """The worker of everything but training and backtest, in this process."""
        activities = orchestrator_activities(self.client, self.settings, self.store)
        return orchestrator(self.client, self.settings.task_queue, activities)

    def engine(self, pool: JobPool) -> AbstractAsyncContextManager[None]:
        """The worker of training and backtest, in this process."""
        engine = EmbeddedEngine(pool, places(self.settings))
        return engine_worker(self.client, self.settings.engine_queue, engine, 1)

    @asynccontextmanager
    async def at_service(self, url: str) -> AsyncIterator[None]:
        """The worker of training and backtest that has them done by the service, in this process."""
        async with Service(url, patience=PATIENCE) as service:
            engine = ServiceEngine(service, places(self.settings), None, POLL)
            async with engine_worker(self.client, self.settings.engine_queue, engine, 4):
                yield

    def request(self, **changes: object) -> CycleRequest:
        """A small, quick cycle that no gate stops, with a finished strategy."""
        usual = CycleRequest(
            symbol="EURUSD",
            timeframe="1h",
            designer=DesignerKind.OFFLINE,
            strategy=self.files.save("small", SMALL.read_text()),
            thresholds=OPEN_GATES,
            budget_scope=self.settings.task_queue,
        )
        return usual.model_copy(update=changes)

    async def open_ledger(self) -> None:
        """Start the house's ledger, in whose place a cycle would else start one with more patience."""
        await self.client.start_workflow(
            BudgetWorkflow.run,
            BudgetInput(limits=self.settings.limits),
            id=budget_workflow_id(self.settings.task_queue),
            task_queue=self.settings.task_queue,
            task_timeout=TASK_TIMEOUT,
        )

    async def start(self, request: CycleRequest) -> tuple[Cycle, Admission]:
        """Start a cycle for people without patience and learn its admission."""
        operation = WithStartWorkflowOperation(
            ResearchCycleWorkflow.run,
            self._input(request, hasty()),
            id=f"cycle-{uuid.uuid4().hex[:12]}",
            task_queue=self.settings.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            task_timeout=TASK_TIMEOUT,
        )
        admission = await self.client.execute_update_with_start_workflow(
            ResearchCycleWorkflow.admission, start_workflow_operation=operation
        )
        return await operation.workflow_handle(), admission

    async def begin(self, request: CycleRequest, policies: Policies) -> Cycle:
        """Start a cycle, whatever its admission."""
        return await self.client.start_workflow(
            ResearchCycleWorkflow.run,
            self._input(request, policies),
            id=f"cycle-{uuid.uuid4().hex[:12]}",
            task_queue=self.settings.task_queue,
            task_timeout=TASK_TIMEOUT,
        )

    def _input(self, request: CycleRequest, policies: Policies) -> CycleInput:
        return CycleInput(
            request=request,
            engine_queue=self.settings.engine_queue,
            limits=self.settings.limits,
            policies=policies,
        )

    async def until(self, cycle: Cycle, condition: Callable[[CycleStatus], bool]) -> CycleStatus:
        """The cycle's status, as soon as the condition holds."""
        async with asyncio.timeout(300):
            while not condition(status := await cycle.query(ResearchCycleWorkflow.status)):
                await asyncio.sleep(0.05)
        return status

    async def balance(self) -> BudgetStatus:
        """The ledger's status."""
        ledger = self.client.get_workflow_handle(budget_workflow_id(self.settings.task_queue))
        return await ledger.query(BudgetWorkflow.status)


@asynccontextmanager
async def house_in(root: Path, client: Client, active: int = 3) -> AsyncIterator[House]:
    """A house in this folder, without a worker yet. active: how many cycles its ledger lets run at once."""
    settings = Settings(home=root, task_queue=f"chaos-{uuid.uuid4().hex[:8]}", max_active_cycles=active)
    store = Store.open(settings.store_url, migrate=True)
    try:
        yield House(client, settings, store)
    finally:
        store.close()


def figures(status: CycleStatus) -> dict[str, Any]:
    """What a cycle found, as two cycles of the same seed and memory must find it alike."""
    told = status.model_dump(mode="json", include={"outcome", "reason", "stopped_in", "failure", "strategy", "gates"})
    told |= status.model_dump(mode="json", include={"assessment", "hypothesis", "memory_snapshot"})
    for phase, result in (("training", status.training), ("backtest", status.backtest)):
        told[phase] = result.model_dump(mode="json", exclude=NOT_THE_SAME) if result else None
    return told


def rows(store: Store, cycle_id: str) -> int:
    """How many runs of the cycle the store holds."""
    with database.reading(store.engine) as connection:
        counted = connection.execute(sa.text("SELECT count(*) FROM cycles WHERE cycle_id = :id"), {"id": cycle_id})
        return int(counted.scalar_one())


@asynccontextmanager
async def process(module: str, argument: dict[str, object], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that runs this module with the argument in JSON and has said "ready"; killed at the end."""
    with log.open("a") as errors:
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, json.dumps(argument)),
            cwd=PROJECT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    try:
        assert started.stdout
        assert await started.stdout.readline() == b"ready\n", log.read_text()
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()
