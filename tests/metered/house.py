"""A house for cycles that cost tokens: the real workflows and ledger, a metered provider, an engine without delay."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy

from domain.ceilings import TurnBounds
from domain.cycle import Admission, CycleRequest, CycleResult, CycleStatus, DesignerKind
from domain.ledger import (
    BudgetInput,
    BudgetStatus,
    DayEntries,
    DaySummary,
    Entry,
    Limits,
    LimitsChange,
    budget_workflow_id,
)
from domain.pricing import price_of
from settings import PROJECT
from store.cycles import Store
from tests.domain.usual_results import OPEN_GATES
from workflows.budget import BudgetWorkflow
from workflows.cycle_input import CycleInput
from workflows.policies import ActivityPolicy, Policies
from workflows.research_cycle import ResearchCycleWorkflow

from .provider import MODEL, Provider, provider
from .turns import MeteredTurns
from .worker_process import store_in, working

Cycle = WorkflowHandle[ResearchCycleWorkflow, CycleResult]
Ledger = WorkflowHandle[BudgetWorkflow, None]

BOUNDS = TurnBounds(most=9_000, closing=6_000)
"""Of one turn; the provider's usual usage is at most 6,000 tokens."""

CAPS = {"design": 60_000, "assess": 30_000}
ENVELOPE = sum(CAPS.values())
SILENCE = timedelta(seconds=3)
"""After which a worker is taken for dead, and a workflow's task for lost."""


def hasty() -> Policies:
    """The policies of people without patience: a dead worker is missed sooner, a retry comes sooner."""

    def row(policy: ActivityPolicy) -> ActivityPolicy:
        sooner = {"first_retry": timedelta(milliseconds=100), "longest_retry": timedelta(milliseconds=500)}
        if policy.heartbeat:
            return policy.model_copy(update={**sooner, "heartbeat": SILENCE})
        return policy.model_copy(update={**sooner, "start_to_close": SILENCE})

    usual = Policies()
    rows = {name: row(policy) for name, policy in usual if isinstance(policy, ActivityPolicy)}
    return usual.model_copy(update=rows)


@dataclass(frozen=True)
class MeteredHouse:
    """One ledger, one provider, one store, and the means to start cycles."""

    client: Client
    provider: Provider
    store: Store
    root: Path
    scope: str

    @property
    def ledger(self) -> Ledger:
        """The ledger of this house, whichever run of it serves."""
        return self.client.get_workflow_handle_for(BudgetWorkflow.run, budget_workflow_id(self.scope))

    async def open_ledger(self, tokens: int, active: int = 1, usd: Decimal | None = None, **settings: Any) -> None:
        """Start the house's ledger, in whose place a cycle would else start one. settings: of its BudgetInput."""
        limits = Limits(tokens_per_day=tokens, usd_per_day=usd, max_active_cycles=active)
        await self.client.start_workflow(
            BudgetWorkflow.run,
            BudgetInput(limits=limits, **settings),
            id=self.ledger.id,
            task_queue=self.scope,
            task_timeout=SILENCE,
        )

    async def start(self, policies: Policies | None = None, **changes: Any) -> tuple[Cycle, Admission]:
        """Start a cycle and learn its admission, as a client does. changes: of the request."""
        request = CycleRequest(
            symbol="EURUSD",
            timeframe="1h",
            designer=DesignerKind.CLAUDE,
            model=MODEL,
            thresholds=OPEN_GATES,
            budget_scope=self.scope,
        ).model_copy(update=changes)
        operation = WithStartWorkflowOperation(
            ResearchCycleWorkflow.run,
            CycleInput(
                request=request,
                engine_queue=f"{self.scope}-engine",
                design_token_cap=CAPS["design"],
                assess_token_cap=CAPS["assess"],
                turn_bounds=BOUNDS,
                price=price_of(request.model),
                policies=policies or hasty(),
            ),
            id=f"cycle-{uuid.uuid4().hex[:12]}",
            task_queue=self.scope,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            task_timeout=SILENCE,
        )
        admission = await self.client.execute_update_with_start_workflow(
            ResearchCycleWorkflow.admission, start_workflow_operation=operation
        )
        return await operation.workflow_handle(), admission

    async def until(self, cycle: Cycle, condition: Callable[[CycleStatus], bool]) -> CycleStatus:
        """The cycle's status, as soon as the condition holds."""
        async with asyncio.timeout(60):
            while not condition(status := await cycle.query(ResearchCycleWorkflow.status)):
                await asyncio.sleep(0.05)
        return status

    async def details(self, cycle: Cycle) -> str:
        """What the Web UI shows of the cycle."""
        metadata = await cycle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        return metadata.current_details

    async def balance(self) -> BudgetStatus:
        """The ledger's status."""
        return await self.ledger.query(BudgetWorkflow.status)

    async def entries(self) -> DayEntries:
        """The ledger's calls of the present day."""
        return await self.ledger.query(BudgetWorkflow.entries)

    async def calls(self) -> list[Entry]:
        """The ledger's calls of all days, each once: around midnight one counts on two."""
        found: dict[tuple[str, int], Entry] = {}
        for summary in await self.history():
            day = await self.ledger.query(BudgetWorkflow.entries, summary.day)
            found |= {(entry.run_id, entry.seq): entry for entry in day.entries}
        return list(found.values())

    async def history(self) -> tuple[DaySummary, ...]:
        """The sums of all days, newest first."""
        return await self.ledger.query(BudgetWorkflow.history)

    async def set_limit(self, tokens: int) -> BudgetStatus:
        """As a person does with `research budget set`."""
        return await self.ledger.execute_update(BudgetWorkflow.set_limits, LimitsChange(tokens_per_day=tokens))

    def working(self, turns: MeteredTurns | None = None) -> AbstractAsyncContextManager[None]:
        """A worker in this process. turns: other than the usual ones."""
        return working(self.client, self.scope, self.provider.url, self.root, self.store, turns)

    async def worker_process(self) -> asyncio.subprocess.Process:
        """A worker in a process of its own, at work, its log beside the store. It is for the caller to end."""
        with (self.root / "worker.log").open("a") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.metered.worker_process"),
                *(self.client.service_client.config.target_host, self.scope, self.provider.url, str(self.root)),
                cwd=PROJECT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
        return process


@asynccontextmanager
async def metered_house(client: Client, root: Path, *, staffed: bool = True) -> AsyncIterator[MeteredHouse]:
    """A house of its own. staffed: with a worker in this process."""
    scope = f"metered-{uuid.uuid4().hex[:8]}"
    async with AsyncExitStack() as stack:
        store = store_in(root)
        stack.callback(store.close)
        house = MeteredHouse(client, await stack.enter_async_context(provider()), store, root, scope)
        if staffed:
            await stack.enter_async_context(house.working())
        yield house
