"""A cycle that is reset in the Web UI: the envelope of its earlier run is not spent again, and nothing stays held."""

import asyncio
import uuid

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle

from domain.cycle import CycleResult, Outcome, Phase
from domain.ledger import BudgetStatus, Open, budget_workflow_id
from workflows.research_cycle import ResearchCycleWorkflow

from .conftest import House

Cycle = WorkflowHandle[ResearchCycleWorkflow, CycleResult]

RESET_IN = [
    pytest.param(Phase.DESIGNING, "design", {"strategy": None, "seed": 3}, ["envelope_stale"], id="as_it_is_granted"),
    pytest.param(Phase.ASSESSING, "assess", {}, [], id="assess"),
]
"""With the failures of the turn. In the task that brings the grant the run can't know yet that it is another: there the
fence stops it."""


@pytest.mark.parametrize(("phase", "turn", "changes", "failed"), RESET_IN)
async def test_a_cycle_reset_before_a_turn_opens_an_envelope_of_its_own_and_leaves_nothing_held(
    phase: Phase, turn: str, changes: dict[str, object], failed: list[str], small_house: House, keep_history
) -> None:
    house = small_house
    house.faults.hold = phase
    started, _ = await house.start(house.request(**changes))
    await asyncio.wait_for(house.faults.held.wait(), 60)
    house.faults.hold = None
    before, now = await reset(house.client, started, turn)
    result = await asyncio.wait_for(now.result(), 60)
    await keep_history(f"reset_while_{phase.value}", now)

    assert result.outcome is Outcome.COMPLETED
    assert (await before.describe()).status is WorkflowExecutionStatus.TERMINATED
    assert await failures(now, turn) == failed
    first, second = await opened(now)
    assert (first[0], second[0]) == (before.run_id, now.run_id)
    assert first[1] != second[1]
    status = await now.query(ResearchCycleWorkflow.status)
    assert status.run_id == now.run_id
    assert [timing.phase for timing in status.timings].count(Phase.QUEUED) == 2
    assert house.store.get(now.id) == status
    ledger = house.client.get_workflow_handle(budget_workflow_id(house.scope))
    assert "describe_holders" in [name for _, name in scheduled(await events(ledger))]
    balance = await ledger.query("status", result_type=BudgetStatus)
    assert (balance.active, balance.waiting, balance.tokens_held, balance.tokens_charged) == ((), (), 0, 0)


async def reset(client: Client, cycle: Cycle, before: str) -> tuple[Cycle, Cycle]:
    """Reset to the task that asked for this activity: all before it is replayed, the grant too. Old run and new."""
    old: Cycle = client.get_workflow_handle_for(
        ResearchCycleWorkflow.run, cycle.id, run_id=(await cycle.describe()).run_id
    )
    assert old.run_id
    answer = await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=old.id, run_id=old.run_id),
            reason="as by a person in the Web UI",
            workflow_task_finish_event_id=next(asked for asked, name in scheduled(await events(old)) if name == before),
            request_id=str(uuid.uuid4()),
        )
    )
    return old, client.get_workflow_handle_for(ResearchCycleWorkflow.run, cycle.id, run_id=answer.run_id)


async def events(workflow: WorkflowHandle) -> list[HistoryEvent]:
    return list((await workflow.fetch_history()).events)


def scheduled(history: list[HistoryEvent]) -> list[tuple[int, str]]:
    """The activities asked for: the id of the workflow task that asked, and the activity's name."""
    asked = [event.activity_task_scheduled_event_attributes for event in history if is_(event, "SCHEDULED")]
    return [(one.workflow_task_completed_event_id, one.activity_type.name) for one in asked]


async def failures(cycle: Cycle, activity: str) -> list[str]:
    """The error types with which this activity failed."""
    history = await events(cycle)
    asked = {
        event.event_id
        for event in history
        if event.activity_task_scheduled_event_attributes.activity_type.name == activity
    }
    failed = [event.activity_task_failed_event_attributes for event in history if is_(event, "FAILED")]
    return [one.failure.application_failure_info.type for one in failed if one.scheduled_event_id in asked]


async def opened(cycle: Cycle) -> list[tuple[str, str]]:
    """The envelopes asked for, by the run that was reset too: run id and key. What was sent twice stands once."""
    sent = [event.signal_external_workflow_execution_initiated_event_attributes for event in await events(cycle)]
    asked = [Open.model_validate_json(one.input.payloads[0].data) for one in sent if one.signal_name == "open"]
    return list(dict.fromkeys((message.run_id, message.key) for message in asked))


def is_(event: HistoryEvent, end: str) -> bool:
    return EventType.Name(event.event_type) == f"EVENT_TYPE_ACTIVITY_TASK_{end}"
