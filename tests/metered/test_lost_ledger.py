"""A ledger that was deleted is not taken for one that never was: an empty one would grant the day a second time."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from activities.budget import ensure_budget, restart_budget
from activities.lost_ledger import CUT_OFF
from domain.cycle import CYCLE_WORKFLOW, AdmissionState, DesignerKind, Outcome
from domain.errors import ErrorCode, ResearchError
from domain.ledger import Limits
from tests.metered.house import ENVELOPE, Cycle, MeteredHouse, metered_house
from tests.metered.provider import Call, Deed
from workflows.budget import BudgetWorkflow

LIMITS = Limits(tokens_per_day=ENVELOPE)


async def deleted(client: Client, ledger_id: str) -> None:
    """As a person can do it in the Web UI."""
    execution = WorkflowExecution(workflow_id=ledger_id)
    request = DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
    await client.workflow_service.delete_workflow_execution(request)
    async with asyncio.timeout(60):
        while await known(client, ledger_id):
            await asyncio.sleep(0.1)


async def known(client: Client, ledger_id: str) -> bool:
    """Whether the server knows the ledger."""
    try:
        await client.get_workflow_handle(ledger_id).describe()
    except RPCError:
        return False
    return True


async def listed(house: MeteredHouse, cycle: Cycle, which: str) -> None:
    """The server's list shows the cycle so, which it does a moment after it happened."""
    async with asyncio.timeout(60):
        while not [one async for one in house.client.list_workflows(f"WorkflowId = '{cycle.id}' AND {which}")]:
            await asyncio.sleep(0.05)


async def that_ended(house: MeteredHouse) -> Cycle:
    cycle, _ = await house.start()
    assert (await asyncio.wait_for(cycle.result(), 60)).outcome is Outcome.COMPLETED
    await listed(house, cycle, "TokensUsed > 0 AND CloseTime IS NOT NULL")
    return cycle


async def that_was_terminated(house: MeteredHouse) -> Cycle:
    cycle = await that_runs(house)
    await cycle.terminate()
    await listed(house, cycle, f"{CUT_OFF} AND CloseTime IS NOT NULL")
    return cycle


async def that_runs(house: MeteredHouse) -> Cycle:
    async def deed(call: Call, nth: int) -> Deed:
        return Deed.RATE_LIMIT if call.turn == 3 else Deed.ANSWER

    house.provider.deed = deed
    cycle, _ = await house.start()
    await house.provider.until(lambda: len(house.provider.bills) == 2)
    await listed(house, cycle, "ExecutionStatus = 'Running'")
    return cycle


async def that_only_calls_itself_one(house: MeteredHouse) -> None:
    garbage: Cycle = await house.client.start_workflow(
        CYCLE_WORKFLOW, {"request": {"budget_scope": house.scope}}, id=f"odd-{house.scope}", task_queue="nobody-polls"
    )
    await garbage.terminate()
    await listed(house, garbage, f"{CUT_OFF} AND CloseTime IS NOT NULL")


@pytest.mark.parametrize("cycle_of", [that_ended, that_was_terminated, that_runs])
async def test_where_a_cycle_has_spent_today_and_no_ledger_is_known_only_a_person_starts_one(
    cycle_of: Callable[[MeteredHouse], Awaitable[Cycle]], temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with metered_house(temporal_env.client, tmp_path) as house:
        await house.open_ledger(tokens=LIMITS.tokens_per_day)
        cycle = await cycle_of(house)
        await deleted(house.client, house.ledger.id)

        with pytest.raises(ResearchError, match="research budget restart") as refused:
            await ensure_budget(house.client, house.scope, LIMITS, house.scope)
        assert refused.value.code is ErrorCode.BUDGET_EXHAUSTED
        assert not await known(house.client, house.ledger.id)
        waiting, admission = await house.start(queue=True)
        assert admission.state is AdmissionState.PENDING
        assert "research budget restart" in admission.message
        assert await restart_budget(house.client, house.scope, LIMITS, house.scope) is not None
        assert (await house.balance()).tokens_remaining == 0
        await waiting.terminate()
        if cycle_of is that_runs:
            await cycle.terminate()


async def test_cycles_that_spent_nothing_or_are_under_another_ledger_stand_in_no_first_ledgers_way(
    temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with metered_house(temporal_env.client, tmp_path) as house:
        await house.open_ledger(tokens=1_000)
        refused, _ = await house.start()
        assert (await refused.result()).outcome is Outcome.REFUSED
        await house.ledger.execute_update(BudgetWorkflow.pause, "a test")
        terminated, admission = await house.start(designer=DesignerKind.OFFLINE, model=None, queue=True)
        assert admission.state is AdmissionState.QUEUED
        await terminated.terminate()
        spent, _ = await house.start(budget_scope=f"{house.scope}-2")
        assert (await asyncio.wait_for(spent.result(), 60)).outcome is Outcome.COMPLETED
        await that_only_calls_itself_one(house)
        await listed(house, refused, "TokensUsed = 0 AND CloseTime IS NOT NULL")
        await listed(house, terminated, f"{CUT_OFF} AND CloseTime IS NOT NULL")
        await listed(house, spent, "TokensUsed > 0 AND CloseTime IS NOT NULL")
        await deleted(house.client, house.ledger.id)

        await ensure_budget(house.client, house.scope, LIMITS, house.scope)
        assert await known(house.client, house.ledger.id)
