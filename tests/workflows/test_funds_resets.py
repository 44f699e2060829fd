"""Cycles that cost tokens and are reset in the Web UI: every call is booked once, on the run that made it."""

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.testing import WorkflowEnvironment

from domain.cycle import CallUsage, Outcome
from tests.metered.books import differences
from tests.metered.house import BOUNDS, ENVELOPE, Cycle, MeteredHouse, metered_house
from tests.metered.provider import MODEL, Call, Deed, always_answered
from workflows.research_cycle import ResearchCycleWorkflow

Turn = tuple[str, int]

DESIGN = [("design", turn) for turn in range(1, 8)]
ASSESS = [("assess", turn) for turn in range(1, 4)]

RESETS = [
    pytest.param(("design", 3), None, [*DESIGN, *ASSESS], 2 * ENVELOPE, id="at_its_opening"),
    pytest.param(("design", 4), ("design", 4), [*DESIGN[3:], *ASSESS], ENVELOPE + BOUNDS.most, id="in_mid_design"),
    pytest.param(("assess", 1), ("backtest", 1), ASSESS, ENVELOPE + BOUNDS.most, id="between_phases"),
]


@pytest.mark.parametrize(("held", "point", "again", "limit"), RESETS)
async def test_a_reset_cycle_goes_on_in_an_envelope_of_its_own_and_what_was_billed_is_booked(
    held: Turn,
    point: Turn | None,
    again: list[Turn],
    limit: int,
    temporal_env: WorkflowEnvironment,
    tmp_path: Path,
) -> None:
    """held: the request under way when it is reset, which the provider bills too. point: the activity before whose
    asking it is reset; None: before its first message. limit: with the lost call, no more than what is left to do.
    """
    done = asyncio.Event()

    async def deed(call: Call, nth: int) -> Deed:
        if (call.phase, call.turn) == held and not done.is_set():
            await done.wait()
        return Deed.ANSWER

    async with metered_house(temporal_env.client, tmp_path) as house:
        house.provider.deed = deed
        await house.open_ledger(tokens=limit)
        cycle, _ = await house.start()
        await house.provider.until(lambda: held in map(_turn, house.provider.under_way))
        now = await reset(house, cycle, point)
        done.set()
        result = await asyncio.wait_for(now.result(), 60)
        await house.provider.until(house.provider.is_idle)
        entries, balance = await house.calls(), await house.balance()

    bills = house.provider.bills
    before = [bill for bill in bills if bill.call.run_id != now.run_id]
    after = [bill for bill in bills if bill.call.run_id == now.run_id]
    assert [_turn(bill.call) for bill in after] == again
    assert _turn(before[-1].call) == held
    assert differences(entries, bills) == []
    charged = [(entry.run_id, entry.seq) for entry in entries if entry.state == "charged"]
    assert charged == [(before[0].call.run_id, len(before))]
    replayed = before[:-1] if point else []
    assert (result.outcome, result.tokens) == (Outcome.COMPLETED, sum(bill.usage.total for bill in replayed + after))
    assert (balance.active, balance.waiting, balance.tokens_held) == ((), (), 0)


def _turn(call: Call) -> Turn:
    return call.phase, call.turn


async def reset(house: MeteredHouse, cycle: Cycle, point: Turn | None) -> Cycle:
    """To the workflow task that asked for the nth activity of a name; None: to the first one. The new run."""
    events = (await cycle.fetch_history()).events
    tasks = asking(events, point[0])[point[1] - 1 :] if point else completed(events)
    return await reset_to(house, cycle, tasks[0])


async def reset_to(house: MeteredHouse, cycle: Cycle, task: int) -> Cycle:
    """As by a person in the Web UI, to the workflow task whose completion has this event id. The new run."""
    answer = await house.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=house.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=cycle.id, run_id=(await cycle.describe()).run_id),
            reason="as by a person in the Web UI",
            workflow_task_finish_event_id=task,
            request_id=str(uuid.uuid4()),
        )
    )
    return house.client.get_workflow_handle_for(ResearchCycleWorkflow.run, cycle.id, run_id=answer.run_id)


def asking(events: Sequence[HistoryEvent], name: str) -> list[int]:
    """The ids of the workflow tasks that asked for activities of this name."""
    asked = [event.activity_task_scheduled_event_attributes for event in events]
    return [one.workflow_task_completed_event_id for one in asked if one.activity_type.name == name]


def completed(events: Sequence[HistoryEvent]) -> list[int]:
    """The ids of the workflow tasks that were completed."""
    return [event.event_id for event in events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]


@pytest.mark.parametrize("task", [-1, -2], ids=["after_it_was_queued", "as_it_asks"])
async def test_a_cycle_reset_while_it_waits_for_more_opens_an_envelope_of_its_own(
    task: int, temporal_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    """task: the workflow task to which it is reset, from the last."""

    async def deed(call: Call, nth: int) -> Deed:
        return Deed.DROP if _turn(call) == ("assess", 2) and nth <= 3 else Deed.ANSWER

    async with metered_house(temporal_env.client, tmp_path) as house:
        house.provider.deed = deed
        house.provider.usage = lambda call, nth: CallUsage(model=MODEL, input=nth, output=5_000 - nth)
        await house.open_ledger(tokens=ENVELOPE)
        cycle, _ = await house.start()
        await house.until(cycle, lambda status: status.top_up is not None and status.top_up.position == 1)
        house.provider.deed = always_answered
        now = await reset_to(house, cycle, completed((await cycle.fetch_history()).events)[task])
        result = await asyncio.wait_for(now.result(), 60)
        entries, balance = await house.calls(), await house.balance()

    again = [_turn(bill.call) for bill in house.provider.bills if bill.call.run_id == now.run_id]
    assert (result.outcome, again) == (Outcome.COMPLETED, ASSESS[1:])
    assert differences(entries, house.provider.bills) == []
    assert (balance.active, balance.waiting, balance.tokens_held) == ((), (), 0)
