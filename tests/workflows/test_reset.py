"""A cycle that is reset in the Web UI: the envelope of its earlier run is not spent again, and nothing stays held."""

import asyncio
import uuid

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from domain.cycle import CycleResult, Outcome, Phase
from domain.errors import ErrorCode
from domain.ledger import BudgetStatus, Open, budget_workflow_id
from workflows.research_cycle import ResearchCycleWorkflow

from .conftest import House

Cycle = WorkflowHandle[ResearchCycleWorkflow, CycleResult]

RESET_IN = [(Phase.DESIGNING, "design", {"strategy": None, "seed": 3}), (Phase.ASSESSING, "assess", {})]


@pytest.mark.parametrize(("phase", "turn", "changes"), RESET_IN, ids=lambda value: value if type(value) is str else "")
async def test_a_reset_cycle_opens_an_envelope_of_its_own_and_goes_on_to_its_end(
    phase: Phase, turn: str, changes: dict[str, object], house: House, keep_history
) -> None:
    house.faults.hold = phase
    first, _ = await house.start(house.request(**changes))
    await asyncio.wait_for(house.faults.held.wait(), 60)
    house.faults.hold = None
    second = await reset(house, first, before=turn)
    result = await asyncio.wait_for(second.result(), 60)
    await keep_history(f"reset_while_{phase.value}", second)

    assert result.outcome is Outcome.COMPLETED
    before, now = (await first.fetch_history()).run_id, second.run_id
    assert before != now
    assert (await first.describe()).status is WorkflowExecutionStatus.TERMINATED
    assert await failures(second, turn) == [ErrorCode.ENVELOPE_STALE.value]
    assert [message.run_id for message in await opened(second)] == [before, now]
    status = await second.query(ResearchCycleWorkflow.status)
    assert status.run_id == now
    assert [timing.phase for timing in status.timings].count(Phase.QUEUED) == 2
    assert house.store.get(second.id) == status


async def test_the_slot_of_the_run_that_was_reset_is_found_by_a_sweep_and_nothing_stays_held(house: House) -> None:
    house.faults.hold = Phase.ASSESSING
    first, _ = await house.start(house.request())
    await asyncio.wait_for(house.faults.held.wait(), 60)
    house.faults.hold = None
    second = await reset(house, first, before="assess")
    ledger = house.client.get_workflow_handle(budget_workflow_id(house.scope))
    await asyncio.wait_for(second.result(), 60)

    sweeps = [
        event
        async for event in ledger.fetch_history_events()
        if event.activity_task_scheduled_event_attributes.activity_type.name == "describe_holders"
    ]
    assert sweeps
    status = await ledger.query("status", result_type=BudgetStatus)
    assert (status.active, status.waiting, status.tokens_held, status.tokens_charged) == ((), (), 0, 0)


async def reset(house: House, cycle: Cycle, before: str) -> Cycle:
    """Reset to the workflow task that asked for this activity: what is known up to there is replayed, grant and all."""
    task = next(
        event.activity_task_scheduled_event_attributes.workflow_task_completed_event_id
        for event in (await cycle.fetch_history()).events
        if event.activity_task_scheduled_event_attributes.activity_type.name == before
    )
    run_id = (await cycle.describe()).run_id
    answer = await house.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=house.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=cycle.id, run_id=run_id),
            reason="as by a person in the Web UI",
            workflow_task_finish_event_id=task,
            request_id=str(uuid.uuid4()),
        )
    )
    return house.client.get_workflow_handle_for(ResearchCycleWorkflow.run, cycle.id, run_id=answer.run_id)


async def failures(cycle: Cycle, activity: str) -> list[str]:
    """The error types with which this activity failed, as the history tells them."""
    events = (await cycle.fetch_history()).events
    scheduled = {
        event.event_id
        for event in events
        if event.activity_task_scheduled_event_attributes.activity_type.name == activity
    }
    return [
        event.activity_task_failed_event_attributes.failure.application_failure_info.type
        for event in events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED
        and event.activity_task_failed_event_attributes.scheduled_event_id in scheduled
    ]


async def opened(cycle: Cycle) -> list[Open]:
    """What the cycle asked of the ledger."""
    return [
        Open.model_validate_json(
            event.signal_external_workflow_execution_initiated_event_attributes.input.payloads[0].data
        )
        for event in (await cycle.fetch_history()).events
        if event.signal_external_workflow_execution_initiated_event_attributes.signal_name == "open"
    ]
