"""A whole house on a real server: both workers, the real engine, a store and a ledger of its own for each test."""

import asyncio
import json
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from temporalio import activity
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.testing import WorkflowEnvironment

from activities.assess import AssessActivity
from activities.budget import BudgetActivities
from activities.control import ControlActivities
from activities.design import DesignActivity
from activities.faults import translated
from activities.heartbeat import beating
from activities.messages import MessageActivities
from activities.record import RecordActivities
from domain.cycle import Admission, CycleRequest, CycleResult, CycleStatus, DesignerKind, Phase
from domain.ledger import BudgetStatus, Limits, budget_workflow_id
from domain.results import BacktestResult, TrainingResult
from domain.turns import AssessAnswer, AssessTurn, DesignAnswer, DesignTurn
from engine.embedded import EmbeddedEngine
from engine.interface import BacktestJob, Engine, Places, Progress, Report, TrainJob
from engine.pool import JobPool
from store.cycles import Store
from store.strategies import StrategyFiles
from tests.domain.usual_results import OPEN_GATES
from worker import Activity, engine_worker, orchestrator
from workflows.cycle_input import CycleInput
from workflows.policies import Policies
from workflows.research_cycle import ResearchCycleWorkflow

# The engine's processes find jobs by name, where this process looks.
sys.path.append(str(Path(__file__).parent.parent / "engine"))

HISTORIES = Path(__file__).parent / "histories"
SMALL_STRATEGY = Path(__file__).parent / "small_strategy.yaml"
SMALL = partial(EmbeddedEngine, training="process_jobs:train", backtest="process_jobs:backtest")
"""An engine whose jobs take no time."""


Deed = Callable[[int], None]


@dataclass
class Faults:
    """What goes wrong in this house: phases that hold until they are cancelled, and deeds before a phase's work.

    A deed is given the attempt's number, from 1, and may raise, break something, or heal it.
    """

    hold: Phase | None = None
    held: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    deeds: dict[Phase, Deed] = field(default_factory=dict)
    passed: Counter[Phase] = field(default_factory=Counter)

    async def pass_by(self, phase: Phase) -> None:
        """Do this phase's deed, and hold here, if this is the phase; a cancel ends it as it ends any work."""
        self.passed[phase] += 1
        if deed := self.deeds.get(phase):
            deed(self.passed[phase])
        if self.hold is phase:
            try:
                async with beating("held"):
                    self.held.set()
                    await asyncio.Event().wait()
            finally:
                self.stopped.set()


@dataclass(frozen=True)
class FaultyEngine:
    """An engine, with the faults before it."""

    engine: Engine
    faults: Faults

    async def train(self, job: TrainJob, report: Report, earlier: Progress | None = None) -> TrainingResult:
        await self.faults.pass_by(Phase.TRAINING)
        return await self.engine.train(job, report, earlier)

    async def backtest(self, job: BacktestJob, report: Report, earlier: Progress | None = None) -> BacktestResult:
        await self.faults.pass_by(Phase.BACKTESTING)
        return await self.engine.backtest(job, report, earlier)


@dataclass(frozen=True)
class FaultyTurns:
    """The real designer and assessor, with the faults before them."""

    designer: DesignActivity
    assessor: AssessActivity
    faults: Faults

    @activity.defn(name="design")
    async def design(self, turn: DesignTurn) -> DesignAnswer:
        with translated():
            await self.faults.pass_by(Phase.DESIGNING)
        return await self.designer.design(turn)

    @activity.defn(name="assess")
    async def assess(self, turn: AssessTurn) -> AssessAnswer:
        with translated():
            await self.faults.pass_by(Phase.ASSESSING)
        return await self.assessor.assess(turn)


@dataclass(frozen=True)
class House:
    """Everything a cycle needs, and what the tests ask of it."""

    client: Client
    store: Store
    files: StrategyFiles
    places: Places
    faults: Faults
    queue: str
    scope: str

    def request(self, **changes: object) -> CycleRequest:
        """A small, quick cycle with open gates; the strategy is the file's unless it is to be designed."""
        small = self.files.save("small", SMALL_STRATEGY.read_text())
        fields: dict[str, object] = {
            "symbol": "EURUSD",
            "timeframe": "1h",
            "designer": DesignerKind.OFFLINE,
            "strategy": small,
            "thresholds": OPEN_GATES,
            "budget_scope": self.scope,
        }
        return CycleRequest.model_validate(fields | changes)

    async def start(
        self, request: CycleRequest, policies: Policies | None = None, limits: Limits | None = None
    ) -> tuple[WorkflowHandle[ResearchCycleWorkflow, CycleResult], Admission]:
        """Start a cycle and learn its admission, as a client does."""
        operation = WithStartWorkflowOperation(
            ResearchCycleWorkflow.run,
            CycleInput(
                request=request,
                engine_queue=f"{self.queue}-engine",
                limits=limits or Limits(),
                policies=policies or Policies(),
            ),
            id=f"cycle-{uuid.uuid4().hex[:12]}",
            task_queue=self.queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            execution_timeout=(policies or Policies()).life,
        )
        admission = await self.client.execute_update_with_start_workflow(
            ResearchCycleWorkflow.admission, start_workflow_operation=operation
        )
        return await operation.workflow_handle(), admission

    async def end_what_runs(self) -> None:
        """End the house's cycles, so that its workers have nothing to wait for when they stop."""
        ledger = self.client.get_workflow_handle(budget_workflow_id(self.scope))
        for one in (await ledger.query("status", result_type=BudgetStatus)).active:
            await self.client.get_workflow_handle(one.cycle_id).terminate()

    async def until(self, handle: WorkflowHandle, condition: Callable[[CycleStatus], bool]) -> CycleStatus:
        """The cycle's status, as soon as the condition holds."""
        async with asyncio.timeout(60):
            while not condition(status := await handle.query(ResearchCycleWorkflow.status)):
                await asyncio.sleep(0.05)
        return status


@pytest.fixture(scope="session")
def small_pool(compiled: Path):
    """A process at a time, for jobs that need none of the engine's libraries."""
    with JobPool(1, compiled, warm=()) as pool:
        yield pool


@asynccontextmanager
async def open_house(
    client: Client,
    root: Path,
    pool: JobPool,
    *,
    without: frozenset[str] = frozenset(),
    engine: Callable[[JobPool, Places], Engine] = EmbeddedEngine,
) -> AsyncIterator[House]:
    """Workers for a store, files and a ledger of their own. `without`: activities that no worker offers."""
    name = f"house-{uuid.uuid4().hex[:8]}"
    places = Places(artifacts=root / "artifacts", strategies=root / "strategies", data=root / "data")
    store = Store.open(f"sqlite:///{root / 'research.db'}", migrate=True)
    files = StrategyFiles(places.strategies)
    faults = Faults()
    places.data.mkdir(exist_ok=True)
    faulty = FaultyEngine(engine(pool, places), faults)
    turns = FaultyTurns(DesignActivity(store, files, places), AssessActivity(store, files), faults)
    records = RecordActivities(store, files, artifacts=places.artifacts)
    budget = BudgetActivities(client, records)
    offered: dict[str, Activity] = {
        "design": turns.design,
        "assess": turns.assess,
        "count_trials": records.count_trials,
        "inherit": records.inherit,
        "record": records.record,
        "request_cancel": ControlActivities(client).request_cancel,
        "ensure_budget": budget.ensure_budget,
        "describe_holders": budget.describe_holders,
        "deliver_close": MessageActivities(client).deliver_close,
    }
    activities = [function for key, function in offered.items() if key not in without]
    async with AsyncExitStack() as stack:
        stack.callback(store.close)
        await stack.enter_async_context(orchestrator(client, name, activities))
        await stack.enter_async_context(engine_worker(client, f"{name}-engine", faulty, processes=1))
        yield House(client, store, files, places, faults, name, name)


@pytest.fixture
async def small_house(temporal_env: WorkflowEnvironment, tmp_path: Path, small_pool: JobPool) -> AsyncIterator[House]:
    """With an engine whose jobs take no time."""
    async with open_house(temporal_env.client, tmp_path, small_pool, engine=SMALL) as house:
        yield house


@pytest.fixture
async def house(temporal_env: WorkflowEnvironment, tmp_path: Path, pool: JobPool) -> AsyncIterator[House]:
    """A house where everything works."""
    async with open_house(temporal_env.client, tmp_path, pool) as opened:
        yield opened


@pytest.fixture
def keep_history(request: pytest.FixtureRequest) -> Callable[[str, WorkflowHandle], Awaitable[None]]:
    """Writes a finished workflow's history beside the tests, where --keep-histories asks for it."""

    async def keep(name: str, handle: WorkflowHandle) -> None:
        if request.config.getoption("keep_histories"):
            history = await handle.fetch_history()
            (HISTORIES / f"{name}.json").write_text(_without_traces(history.to_json()))

    return keep


def _without_traces(history: str) -> str:
    """The history without stack traces: a replay needs none, and they name the paths of the machine that wrote them."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items() if key != "stackTrace"}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    return json.dumps(plain(json.loads(history)), indent=1)
