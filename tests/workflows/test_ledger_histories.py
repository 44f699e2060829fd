"""A ledger lives for ever, so code that can't replay its history stops every cycle: a whole life of one is kept.

Kept beside it are the histories of cycles that it turned away, let wait, or met again after a reset, and of one that
paid for its calls, lost answers and waited for more.
"""

import asyncio
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from domain.cycle import AdmissionState, CallUsage, DesignerKind, Phase
from domain.ledger import (
    BudgetInput,
    BudgetStatus,
    Limits,
    LimitsChange,
    Open,
    Record,
    RecordKind,
    TopUp,
    budget_workflow_id,
)
from workflows.budget import BudgetWorkflow
from workflows.research_cycle import ResearchCycleWorkflow

from .conftest import House

HISTORIES = Path(__file__).parent / "histories"
LEDGER_RUNS = ("ledger_first_run", "ledger_second_run")
CYCLES = ("refused", "cancelled_while_queued", "reset_while_designing", "reset_while_assessing", "topped_up")
KEPT = (*LEDGER_RUNS, *CYCLES)
ENVELOPE = 30_000
"""Tokens of a cycle with a model that only assesses: its strategy is given."""


async def test_a_ledger_keeps_its_books_over_every_message_and_into_its_next_run(house: House, keep_history) -> None:
    house.faults.hold = Phase.TRAINING
    ledger = await open_ledger(house)
    spender, admission = await house.start(house.request(designer=DesignerKind.CLAUDE))
    assert admission.state is AdmissionState.GRANTED
    await spends(ledger, spender)

    refused, admission = await house.start(house.request())
    assert (admission.state, admission.active_ids) == (AdmissionState.REFUSED, (spender.id,))
    await refused.result()
    await keep_history("refused", refused)

    heir, admission = await house.start(house.request(queue=True))
    assert admission.position == 1
    leaver, admission = await house.start(house.request(queue=True))
    assert admission.position == 2
    await cancelled(leaver)
    await keep_history("cancelled_while_queued", leaver)

    await ledger.execute_update(BudgetWorkflow.set_limits, LimitsChange(tokens_per_day=ENVELOPE + 20_000))
    await ledger.execute_update(BudgetWorkflow.pause, "audit")
    _, admission = await house.start(house.request())
    assert admission.reason == "budget_paused"
    await ledger.execute_update(BudgetWorkflow.resume)

    await spender.terminate("as by a person in the Web UI")
    late, admission = await house.start(house.request(queue=True))
    assert admission.state in (AdmissionState.QUEUED, AdmissionState.GRANTED)
    await house.until(heir, lambda status: status.phase is Phase.TRAINING)

    while await run_of(ledger) == ledger.first_execution_run_id:
        await ledger.execute_update(BudgetWorkflow.resume)
    assert [one.cycle_id for one in await ledger.query(BudgetWorkflow.waiting)] == [late.id]
    await cancelled(heir)
    await house.until(late, lambda status: status.phase is Phase.TRAINING)
    await cancelled(late)

    status: BudgetStatus = await ledger.query(BudgetWorkflow.status)
    assert (status.active, status.waiting, status.paused, status.tokens_held) == ((), (), None, 0)
    assert (status.tokens_settled, status.tokens_charged) == (700, ENVELOPE + 1_000 - 700)
    assert status.invocations_today == 2
    for name, run_id in zip(LEDGER_RUNS, (ledger.first_execution_run_id, await run_of(ledger)), strict=True):
        run = house.client.get_workflow_handle(ledger.id, run_id=run_id)
        await keep_history(name, run)
        await replays(await run.fetch_history())


def test_the_kept_ledger_has_met_every_message_and_given_every_answer() -> None:
    events = [event for name in LEDGER_RUNS for event in kept(name).events]
    heard = {event.workflow_execution_signaled_event_attributes.signal_name for event in events}
    asked = {event.workflow_execution_update_accepted_event_attributes.accepted_request.input.name for event in events}
    said = {event.signal_external_workflow_execution_initiated_event_attributes.signal_name for event in events}
    assert heard == {"", "open", "record", "top_up", "close"}
    assert asked == {"", "set_limits", "pause", "resume"}
    assert said == {"", "granted", "refused", "queued", "closed"}
    ends = [kept(name).events[-1].workflow_execution_continued_as_new_event_attributes for name in LEDGER_RUNS]
    assert [bool(end.new_execution_run_id) for end in ends] == [True, False]


@pytest.mark.parametrize("name", KEPT)
async def test_a_kept_history_replays(name: str) -> None:
    await replays(kept(name))


async def open_ledger(house: House) -> WorkflowHandle:
    """A ledger for this house that soon continues as new."""
    return await house.client.start_workflow(
        BudgetWorkflow.run,
        BudgetInput(limits=Limits(tokens_per_day=ENVELOPE + 10_000), continue_after_events=160),
        id=budget_workflow_id(house.scope),
        task_queue=house.queue,
    )


async def spends(ledger: WorkflowHandle, cycle: WorkflowHandle) -> None:
    """What a cycle with a model tells its ledger: a call with its usage, one whose answer was lost, and a top-up."""
    sent = [
        event.signal_external_workflow_execution_initiated_event_attributes
        for event in (await cycle.fetch_history()).events
    ]
    opened = next(Open.model_validate_json(one.input.payloads[0].data) for one in sent if one.signal_name == "open")
    for number, kind in enumerate((RecordKind.SETTLED, RecordKind.CHARGED), 1):
        await ledger.signal(BudgetWorkflow.record, call(opened, number, kind))
    await ledger.signal(
        BudgetWorkflow.top_up,
        TopUp(
            cycle_id=opened.cycle_id,
            run_id=opened.run_id,
            at=opened.at,
            key=str(uuid.uuid4()),
            envelope_key=opened.key,
            tokens=1_000,
        ),
    )


def call(opened: Open, number: int, kind: RecordKind) -> Record:
    now = datetime.now(UTC)
    return Record(
        cycle_id=opened.cycle_id,
        run_id=opened.run_id,
        at=now,
        envelope_key=opened.key,
        seq=number,
        phase="design",
        kind=kind,
        usage=CallUsage(model="a-model", input=600, output=100)
        if kind is RecordKind.SETTLED
        else CallUsage(model="a-model"),
        cost_usd=Decimal("0.01") if kind is RecordKind.SETTLED else None,
        ceiling_tokens=5_000,
        ceiling_usd=Decimal("0.10"),
        days=(now.date(),),
    )


async def run_of(ledger: WorkflowHandle) -> str | None:
    """The id of the run that serves now, whichever run the handle was made for."""
    return (await ledger.describe()).run_id


async def cancelled(cycle: WorkflowHandle) -> None:
    await cycle.signal(ResearchCycleWorkflow.cancel, "make way")
    with pytest.raises(WorkflowFailureError):
        await asyncio.wait_for(cycle.result(), 60)


def kept(name: str) -> WorkflowHistory:
    return WorkflowHistory.from_json(name, (HISTORIES / f"{name}.json").read_text())


async def replays(history: WorkflowHistory) -> None:
    """Run through today's code as the worker runs it; raises where the two part."""
    replayer = Replayer(
        workflows=[BudgetWorkflow, ResearchCycleWorkflow],
        data_converter=pydantic_data_converter,
    )
    await replayer.replay_workflow(history)
