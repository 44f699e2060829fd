"""One kind of work on a server: its worker process, its queue, and what its runs take and leave behind."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from temporalio.client import WorkflowHandle

from benchmarks.bare_workflow import BareWorkflow
from benchmarks.database_size import sqlite_bytes
from benchmarks.processes import Child, Cpu, Server, child
from domain.cycle import CycleRequest, DesignerKind
from domain.ledger import Limits, budget_workflow_id
from domain.results import Frozen
from settings import PROJECT, Settings
from store.strategies import StrategyFiles
from tests.domain.usual_results import OPEN_GATES
from workflows.cycle_input import CycleInput
from workflows.research_cycle import ResearchCycleWorkflow

Kind = Literal["ours", "bare", "real"]

WORKER = "benchmarks.orchestration_worker"
STRATEGY = PROJECT / "engine" / "samples" / "planted_edge.yaml"


LIMITS = Limits(tokens_per_day=10**9, max_active_cycles=1_000)
"""Nothing waits for a slot."""


class Crowd(Frozen):
    """So many at once: how many of them ended a second, and seconds of processor each took, server and worker."""

    at_once: int
    per_second: float
    cpu: float


class Left(Frozen):
    """What a run leaves behind. events, history: of its own. ledger: events of the ledger's history for each run.

    database, store: bytes for each run.
    """

    events: int
    history: int
    ledger: float
    database: float
    store: float


class House:
    """One kind's runs, on a queue and in a home of their own. processes, strategy, symbol: of the real kind."""

    def __init__(
        self,
        server: Server,
        kind: Kind,
        scratch: Path,
        *,
        processes: int = 1,
        strategy: Path = STRATEGY,
        symbol: str = "PLANTED",
    ) -> None:
        self.server, self.kind = server, kind
        self.processes, self.strategy, self.symbol = processes, strategy, symbol
        self.queue = f"{kind}-{uuid.uuid4().hex[:6]}"
        self.settings = Settings(home=scratch / self.queue, task_queue=self.queue)
        self.pid = 0

    @asynccontextmanager
    async def worker(self, *hold: Path) -> AsyncIterator[Child]:
        """A worker process; with `hold` (GO, LOG) one whose second step waits."""
        home = str(self.settings.home)
        words = (self.server.address, self.queue, home, self.kind, str(self.processes), *map(str, hold))
        async with child(WORKER, *words) as process:
            self.pid = process.pid
            yield process

    async def start(self, seed: int = 0) -> WorkflowHandle[Any, Any]:
        """One run."""
        name = f"{self.queue}-{uuid.uuid4().hex[:12]}"
        if self.kind == "bare":
            return await self.server.client.start_workflow(BareWorkflow.run, name, id=name, task_queue=self.queue)
        return await self.server.client.start_workflow(
            ResearchCycleWorkflow.run, self._cycle(seed), id=name, task_queue=self.queue
        )

    def _cycle(self, seed: int) -> CycleInput:
        strategy = None
        if self.kind == "real":
            strategy = StrategyFiles(self.settings.strategies).save(self.strategy.stem, self.strategy.read_text())
        request = CycleRequest(
            symbol=self.symbol,
            timeframe="1h",
            designer=DesignerKind.OFFLINE,
            strategy=strategy,
            thresholds=OPEN_GATES,
            seed=seed,
            queue=True,
            budget_scope=self.queue,
        )
        return CycleInput(request=request, engine_queue=self.settings.engine_queue, limits=LIMITS)

    async def one(self, seed: int = 0) -> float:
        """Seconds from a run's start to its result."""
        began = time.perf_counter()
        await (await self.start(seed)).result()
        return time.perf_counter() - began

    async def crowd(self, at_once: int) -> Crowd:
        """So many runs, started together."""
        cpu = Cpu(self.server.pid, self.pid)
        began, spent = time.perf_counter(), cpu.seconds()
        await asyncio.gather(*(self.one(seed) for seed in range(at_once)))
        took = time.perf_counter() - began
        return Crowd(at_once=at_once, per_second=at_once / took, cpu=(cpu.seconds() - spent) / at_once)

    async def left(self, runs: int) -> Left:
        """What so many runs leave, one after the other."""
        database, store, ledger = self._database(), self._store(), await self._ledger_events()
        for seed in range(runs):
            last = await self.start(seed)
            await last.result()
        described = await last.describe()
        return Left(
            events=described.history_length,
            history=described.raw_description.workflow_execution_info.history_size_bytes,
            ledger=(await self._ledger_events() - ledger) / runs,
            database=(self._database() - database) / runs,
            store=(self._store() - store) / runs,
        )

    def _database(self) -> int:
        return sqlite_bytes(self.server.database)

    def _store(self) -> int:
        return sqlite_bytes(self.settings.home / "research.db") if self.kind != "bare" else 0

    async def _ledger_events(self) -> int:
        if self.kind == "bare":
            return 0
        ledger = self.server.client.get_workflow_handle(budget_workflow_id(self.queue))
        return (await ledger.describe()).history_length
