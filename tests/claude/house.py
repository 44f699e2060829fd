"""A house whose cycles are designed and assessed by Claude: all as it is, but the API, and an engine without delay."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy

from claude.call import PATIENCE
from client.cycles import cycle_input
from domain.cycle import CycleRequest, CycleResult, CycleStatus, DesignerKind
from domain.ledger import BudgetInput, BudgetStatus, DayEntries, Entry, Limits, budget_workflow_id
from engine.interface import Engine
from observability.watching import Observer
from settings import PROJECT, Settings
from store.cycles import Store
from tests.metered.house import OPEN_GATES, SILENCE, hasty
from tests.metered.worker_process import store_in
from workflows.budget import BudgetWorkflow
from workflows.research_cycle import ResearchCycleWorkflow

from .fake_api import Asked, Bill, FakeApi, Json, Refuses, Says, fake_api, thinks, tool
from .worker_process import working

Cycle = WorkflowHandle[ResearchCycleWorkflow, CycleResult]

YAML = (Path(__file__).parent.parent / "workflows" / "small_strategy.yaml").read_text()
HYPOTHESIS = "Closes in the upper third of the range lift balanced accuracy in validation by two percent over chance."

SUBMIT_STRATEGY = tool("submit_strategy", name="claude_range", yaml=YAML, hypothesis=HYPOTHESIS, tests_hypothesis=None)
SUBMIT_ASSESSMENT = tool(
    "submit_assessment",
    verdict="poor",
    strengths=["it was trained"],
    weaknesses=["nothing shows skill"],
    suggestions=[],
    hypotheses=[],
    settled=[],
)


def usual(asked: Asked) -> Says:
    """Three turns of design and two of assessment; each uses other numbers of tokens, of all classes."""
    turns: dict[tuple[str, int], tuple[Json, ...]] = {
        ("design", 1): (thinks("which?"), tool("get_indicator", name="rsi")),
        ("design", 2): (thinks(), tool("validate_strategy", yaml=YAML)),
        ("design", 3): (thinks("good"), {"type": "text", "text": "So be it."}, SUBMIT_STRATEGY),
        ("assess", 1): (thinks(), {"type": "text", "text": "Poor, I think."}),
        ("assess", 2): (SUBMIT_ASSESSMENT,),
    }
    written = 100 + asked.nth
    return Says(
        blocks=turns[asked.phase, asked.turn],
        usage={
            "input_tokens": asked.tokens - 300 - written,
            "cache_creation_input_tokens": written,
            "cache_creation": {"ephemeral_5m_input_tokens": written - 1, "ephemeral_1h_input_tokens": 1},
            "cache_read_input_tokens": 300,
        },
    )


async def as_usual(asked: Asked) -> Says | Refuses:
    """Nothing goes wrong."""
    return usual(asked)


@dataclass(frozen=True)
class ClaudeHouse:
    """One ledger, one API, one store, and the means to start cycles."""

    client: Client
    api: FakeApi
    store: Store
    root: Path
    scope: str

    @property
    def _ledger(self) -> WorkflowHandle[BudgetWorkflow, None]:
        return self.client.get_workflow_handle_for(BudgetWorkflow.run, budget_workflow_id(self.scope))

    async def start(self, settings: dict[str, Any] | None = None, **changes: Any) -> Cycle:
        """Start a cycle as a client does. settings: of the house's; changes: of the request."""
        request = CycleRequest(
            symbol="EURUSD",
            timeframe="1h",
            designer=DesignerKind.CLAUDE,
            thresholds=OPEN_GATES,
            budget_scope=self.scope,
        ).model_copy(update=changes)
        given = {"policies": hasty(), **(settings or {})}
        house = Settings(home=self.root, task_queue=self.scope, **given)
        operation = WithStartWorkflowOperation(
            ResearchCycleWorkflow.run,
            cycle_input(house, request),
            id=f"cycle-{uuid.uuid4().hex[:12]}",
            task_queue=self.scope,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            task_timeout=SILENCE,
        )
        await self.client.execute_update_with_start_workflow(
            ResearchCycleWorkflow.admission, start_workflow_operation=operation
        )
        return await operation.workflow_handle()

    async def open_ledger(self, tokens: int, active: int = 1) -> None:
        """Start the house's ledger, in whose place a cycle would else start one."""
        await self.client.start_workflow(
            BudgetWorkflow.run,
            BudgetInput(limits=Limits(tokens_per_day=tokens, max_active_cycles=active)),
            id=budget_workflow_id(self.scope),
            task_queue=self.scope,
            task_timeout=SILENCE,
        )

    async def entries(self) -> list[Entry]:
        """The ledger's calls of the present day, in order."""
        day: DayEntries = await self._ledger.query(BudgetWorkflow.entries)
        return sorted(day.entries, key=lambda entry: (entry.run_id, entry.seq))

    async def status(self, cycle: Cycle) -> CycleStatus:
        """As it is now, or was at its end."""
        return await cycle.query(ResearchCycleWorkflow.status)

    async def until(self, cycle: Cycle, condition: Callable[[CycleStatus], bool]) -> CycleStatus:
        """The cycle's status, as soon as the condition holds."""
        async with asyncio.timeout(60):
            while not condition(status := await self.status(cycle)):
                await asyncio.sleep(0.05)
        return status

    async def balance(self) -> BudgetStatus:
        """The ledger's status."""
        return await self._ledger.query(BudgetWorkflow.status)

    def working(
        self, engine: Engine | None = None, patience: float = PATIENCE, observer: Observer | None = None
    ) -> AbstractAsyncContextManager[None]:
        """A worker in this process. patience: seconds for a call."""
        return working(self.client, self.scope, self.api.url, self.root, self.store, engine, patience, observer)

    async def worker_process(self) -> asyncio.subprocess.Process:
        """A worker in a process of its own, at work. It is for the caller to end."""
        with (self.root / "worker.log").open("a") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.claude.worker_process"),
                *(self.client.service_client.config.target_host, self.scope, self.api.url, str(self.root)),
                cwd=PROJECT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
        return process


def unbooked(entries: list[Entry], bills: list[Bill]) -> list[str]:
    """What one cycle was billed, and its ledger has not booked so; in words. None: to the token.

    Its calls are made one after the other. A settled one is a bill, exactly; a charged one has a bill of no more than
    it, or none.
    """
    found: list[str] = []
    rest = list(bills)
    for entry in entries:
        if entry.state == "settled":
            bill = rest.pop(0) if rest else None
            booked = (entry.input_tokens, entry.cache_write_tokens, entry.cache_read_tokens, entry.output_tokens)
            if bill is None or booked != (
                bill.usage.input,
                bill.usage.cache_write,
                bill.usage.cache_read,
                bill.usage.output,
            ):
                found.append(f"{entry} is not {bill}")
        elif rest and rest[0].lost:
            bill = rest.pop(0)
            if bill.usage.total > entry.total_tokens:
                found.append(f"{entry} does not cover {bill}")
    return found + [f"not booked: {bill}" for bill in rest]


@asynccontextmanager
async def claude_house(
    client: Client, root: Path, *, staffed: bool = True, patience: float = PATIENCE
) -> AsyncIterator[ClaudeHouse]:
    """A house of its own. staffed: with a worker in this process, which has so many seconds for a call."""
    scope = f"claude-{uuid.uuid4().hex[:8]}"
    async with AsyncExitStack() as stack:
        store = store_in(root)
        stack.callback(store.close)
        house = ClaudeHouse(client, await stack.enter_async_context(fake_api()), store, root, scope)
        house.api.script = as_usual
        if staffed:
            await stack.enter_async_context(house.working(patience=patience))
        yield house
