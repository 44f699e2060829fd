"""A cycle whose worker never comes back: the server ends it, and its place in the ledger comes free by itself."""

import asyncio
import uuid
from datetime import timedelta
from pathlib import Path

from temporalio.client import WorkflowExecutionStatus

from activities.budget import BudgetActivities
from client.cycles import fetch, start_cycle
from client.looks import LazyRecords
from domain.cycle import AdmissionState, CycleRequest, DesignerKind, Outcome, StrategyRef
from domain.ledger import BudgetInput, BudgetStatus, Limits, budget_workflow_id
from settings import Settings
from worker import Activity, orchestrator
from workflows.budget import BudgetWorkflow
from workflows.policies import Policies


async def test_a_cycle_whose_worker_never_comes_back_ends_and_frees_its_place_without_anyones_help(
    temporal_env, tmp_path: Path
) -> None:
    client, name = temporal_env.client, f"life-{uuid.uuid4().hex[:8]}"
    budget = BudgetActivities(client)
    activities: list[Activity] = [budget.ensure_budget, budget.describe_holders]
    settings = Settings(home=tmp_path, task_queue=name, policies=Policies(life=timedelta(seconds=3)))
    request = CycleRequest(
        symbol="EURUSD",
        timeframe="1h",
        designer=DesignerKind.OFFLINE,
        strategy=StrategyRef(name="small", sha256="ab" * 32, path="small.yaml"),
        budget_scope=name,
    )
    async with orchestrator(client, f"{name}-ledger", activities):
        ledger = await client.start_workflow(
            BudgetWorkflow.run,
            BudgetInput(limits=Limits(max_active_cycles=1), sweep_every=timedelta(seconds=1)),
            id=budget_workflow_id(name),
            task_queue=f"{name}-ledger",
        )
        async with orchestrator(client, name, activities):
            first = await start_cycle(client, settings, request)
            status: BudgetStatus = await ledger.query(BudgetWorkflow.status)
        assert first.admission.state is AdmissionState.GRANTED
        assert [holding.cycle_id for holding in status.active] == [first.cycle_id]

        async with asyncio.timeout(30):
            while (await ledger.query(BudgetWorkflow.status)).active:
                await asyncio.sleep(0.1)

        described = await client.get_workflow_handle(first.cycle_id).describe()
        assert described.status is WorkflowExecutionStatus.TIMED_OUT
        async with orchestrator(client, name, activities):
            told = (await fetch(client, LazyRecords(settings), first.cycle_id)).status
            following = await start_cycle(client, settings, request)
        assert (told.outcome, "longer than a cycle may" in (told.reason or "")) == (Outcome.FAILED, True)
        assert following.admission.state is AdmissionState.GRANTED
        await client.get_workflow_handle(following.cycle_id).terminate()
        await ledger.terminate()
