"""What the sweep reads in the histories of ended cycles: the records that their envelopes made, or would have made."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
import pytest_asyncio
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.ended_runs import Reading
from domain.ledger import BudgetInput, Limits, RecordKind, RunFate, RunRef, RunReport
from domain.ledger_messages import LimitsChange
from domain.pricing import PRICES
from domain.turns import FundedTurn
from workflows.budget import BudgetWorkflow

from .ended_cycles import (
    CAPS,
    CEILING,
    MODEL,
    Cycle,
    Fate,
    House,
    Request,
    ScriptedCycle,
    Step,
    ended_house,
    events,
    has,
    is_a_turn,
    ref,
    until,
    usage_of,
)

QUIET = [fate for fate in Fate if fate is not Fate.HANGS]


@pytest_asyncio.fixture
async def house(temporal_env: WorkflowEnvironment) -> AsyncIterator[House]:
    async with ended_house(temporal_env.client) as house:
        yield house


async def test_every_kind_of_call_is_booked_as_the_cycle_booked_it(house: House) -> None:
    steps = [Step(phase=phase, fate=fate) for phase in ("design", "assess") for fate in QUIET]
    cycle = await house.ended(*steps, Step(fate=Fate.LOST, ceiling=0))
    report = await house.report(cycle)
    assert report.fate is RunFate.ENDED
    assert report.calls == await house.told_by_its_envelope(cycle)
    kinds = [(record.phase, record.kind.value) for record in report.calls]
    billed = ["settled"] * 3 + ["charged"] * 4
    assert kinds == [*itertools.product(["design"], billed), *itertools.product(["assess"], billed)]


async def test_scripts_that_chance_wrote_and_ended_are_read_as_their_envelopes_have_them(house: House) -> None:
    chance = Random(7)
    called = ((Request(), PRICES[MODEL]), (Request(model=None), None))
    cycles, scripts = [], []
    for _ in range(10):
        steps = [
            Step(
                phase=chance.choice(("design", "assess")),
                fate=chance.choice(QUIET),
                ceiling=chance.choice((0, 1, CEILING)),
                stumbles=chance.random() < 0.2,
            )
            for _ in range(chance.randrange(6))
        ]
        steps += [Step(fate=Fate.HANGS)] * (chance.random() < 0.5)
        request, price = chance.choice(called)
        cycles.append(await house.cycle(*steps, request=request, price=price, told=chance.randrange(3)))
        scripts.append(steps)

    async def end(cycle: Cycle, steps: list[Step]) -> None:
        if steps and steps[-1].fate is Fate.HANGS:
            await until(lambda: has(cycle, "activity_task_scheduled", len(steps)))
        else:
            await until(lambda: cycle.query(ScriptedCycle.resting))
        await cycle.terminate()

    await asyncio.gather(*map(end, cycles, scripts))
    reports = await house.reports([ref(cycle) for cycle in cycles])
    told = [await house.told_by_its_envelope(cycle) for cycle in cycles]
    assert [report.calls for report in reports] == told
    assert {record.kind for records in told for record in records} == set(RecordKind)


async def test_a_call_in_flight_at_a_timeout_is_charged_as_long_as_the_provider_may_go_on(house: House) -> None:
    cycle = await house.cycle(Step(), Step(fate=Fate.HANGS), lasts=timedelta(seconds=2))

    async def timed_out() -> bool:
        return (await cycle.describe()).status is WorkflowExecutionStatus.TIMED_OUT

    await until(timed_out)
    report = await house.report(cycle)
    assert report.calls == await house.told_by_its_envelope(cycle)
    assert [record.kind.value for record in report.calls] == ["settled", "charged"]


async def test_a_call_that_was_cancelled_is_charged(house: House) -> None:
    cycle = await house.cycle(Step(fate=Fate.HANGS), Step())
    await until(lambda: has(cycle, "activity_task_scheduled"))
    await cycle.cancel()
    await until(lambda: cycle.query(ScriptedCycle.resting))
    await cycle.terminate()
    assert await has(cycle, "activity_task_canceled")
    report = await house.report(cycle)
    assert report.calls == await house.told_by_its_envelope(cycle)
    assert [record.kind.value for record in report.calls] == ["charged", "settled"]


async def test_an_answer_that_the_cycle_did_not_live_to_book_is_settled(house: House) -> None:
    alone = f"{house.queue}-alone"
    worker = Worker(house.client, task_queue=alone, workflows=[ScriptedCycle])
    turns = Worker(house.client, task_queue=f"{alone}-turns", activities=[house.turns.design])
    async with turns:
        async with worker:
            cycle = await replace(house, queue=alone).cycle(Step(fate=Fate.HANGS))
            await until(lambda: has(cycle, "activity_task_scheduled"))
        house.turns.release.set()
        await until(lambda: has(cycle, "activity_task_completed"))
        await cycle.terminate()
    calls = (await house.report(cycle)).calls
    assert calls is not None
    turn = FundedTurn(granted_run_id=ref(cycle).run_id, turn=1)
    assert [(call.seq, call.kind, call.usage) for call in calls] == [
        (1, RecordKind.SETTLED, usage_of(turn, Fate.HANGS))
    ]


async def test_a_reset_run_has_its_own_calls_and_its_predecessor_those_from_before(house: House) -> None:
    old = await house.cycle(Step(), Step(), Step(fate=Fate.HANGS))
    await until(lambda: has(old, "activity_task_scheduled", 3))
    asked = [event.activity_task_scheduled_event_attributes for event in await events(old) if is_a_turn(event)]
    answer = await house.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=house.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=old.id, run_id=ref(old).run_id),
            reason="as by a person in the Web UI",
            workflow_task_finish_event_id=asked[1].workflow_task_completed_event_id,
            request_id=str(uuid.uuid4()),
        )
    )
    new: WorkflowHandle[ScriptedCycle, None] = house.client.get_workflow_handle_for(
        ScriptedCycle.run, old.id, run_id=answer.run_id
    )
    house.turns.release.set()
    await until(lambda: new.query(ScriptedCycle.resting))
    await new.terminate()
    before, after = await house.reports([ref(old), ref(new)])
    assert before.calls == await house.told_by_its_envelope(old)
    assert after.calls == await house.told_by_its_envelope(new)
    assert [record.kind.value for record in before.calls] == ["settled", "settled", "charged"]
    assert [(record.seq, record.kind.value) for record in after.calls] == [(1, "settled"), (2, "settled")]
    assert {record.run_id for record in after.calls} == {new.run_id}


async def test_of_two_envelopes_of_one_run_the_later_is_told(house: House) -> None:
    house.turns.stale_once = 3
    cycle = await house.ended(Step(), Step(), Step(), Step())
    calls = (await house.report(cycle)).calls
    assert calls == await house.told_by_its_envelope(cycle)
    assert [record.seq for record in calls] == [1, 2]


async def test_a_later_envelope_without_calls_is_not_told_as_if_the_run_had_made_none(house: House) -> None:
    house.turns.stale_once = 2
    cycle = await house.cycle(Step(), Step(fate=Fate.REFUSED))
    await until(lambda: cycle.query(ScriptedCycle.resting))
    await cycle.terminate()
    report = await house.report(cycle)
    assert (report.fate, report.calls) == (RunFate.ENDED, None)


async def test_the_ledger_books_what_the_history_tells_and_frees_the_rest(house: House) -> None:
    gone = await house.cycle(Step(), Step(fate=Fate.LONG_PROMPT), Step(fate=Fate.HANGS), told=1)
    await until(lambda: has(gone, "activity_task_scheduled", 3))
    await gone.terminate()
    await house.ledger.execute_update(BudgetWorkflow.set_limits, LimitsChange(max_active_cycles=1))
    following = await house.cycle(Step())
    await until(lambda: following.query(ScriptedCycle.resting))
    status = await house.ledger.query(BudgetWorkflow.status)
    assert [holding.cycle_id for holding in status.active] == [following.id]
    entries = (await house.ledger.query(BudgetWorkflow.entries)).entries
    told = await house.told_by_its_envelope(gone)
    assert [(entry.seq, entry.state, entry.total_tokens, entry.cost) for entry in entries] == [
        (record.seq, record.kind.value, record.tokens, record.usd) for record in told
    ]
    assert [entry.state for entry in entries] == ["settled", "settled", "charged"]
    assert status.tokens_held == sum(CAPS.values())


async def test_a_run_that_goes_on_has_no_calls_to_tell_yet(house: House) -> None:
    cycle = await house.cycle(Step())
    report = await house.report(cycle)
    assert (report.fate, report.calls) == (RunFate.RUNNING, None)
    await cycle.terminate()


async def test_a_run_that_the_server_has_forgotten_has_ended_and_nobody_knows_what_it_spent(house: House) -> None:
    [report] = await house.reports([RunRef(cycle_id="nobody", run_id=str(uuid.uuid4()))])
    assert (report.fate, report.calls) == (RunFate.ENDED, None)


async def test_what_is_no_cycle_has_no_calls_that_could_be_known(house: House) -> None:
    ledger = await house.client.start_workflow(
        BudgetWorkflow.run, BudgetInput(limits=Limits()), id=f"budget/{uuid.uuid4()}", task_queue="nobody's"
    )
    await ledger.terminate()
    [report] = await house.reports([RunRef(cycle_id=ledger.id, run_id=ledger.first_execution_run_id or "")])
    assert (report.fate, report.calls) == (RunFate.ENDED, None)


async def test_a_run_that_ended_before_it_had_an_envelope_spent_nothing(house: House) -> None:
    waiting = await replace(house, queue="nobody's").cycle(Step())
    await waiting.terminate()
    report = await house.report(waiting)
    assert (report.fate, report.calls) == (RunFate.ENDED, ())


@pytest.mark.parametrize("reading", [Reading(events=1), Reading(size=1), Reading(calls=1)])
async def test_a_history_beyond_any_cycles_is_not_read(house: House, reading: Reading) -> None:
    cycle = await house.ended(Step(), Step())
    [report] = await house.reports([ref(cycle)], reading=reading)
    assert (report.fate, report.calls) == (RunFate.ENDED, None)


async def test_who_does_not_fit_into_an_answer_is_told_in_the_next(house: House) -> None:
    cycles = [await house.ended(Step(), Step()) for _ in range(2)]
    first = await house.report(cycles[0])
    narrow = Reading(room=len(first.model_dump_json()) + 1)
    asked = [ref(cycle) for cycle in cycles]
    assert await house.reports(asked, reading=narrow) == [first, unknown(cycles[1])]
    [second] = await house.reports(asked[1:], reading=narrow)
    assert second.calls == await house.told_by_its_envelope(cycles[1])


async def test_who_cannot_be_looked_at_in_time_is_told_in_the_next_answer(house: House) -> None:
    cycle = await house.ended(Step())
    assert await house.reports([ref(cycle)], patience=timedelta(microseconds=1)) == [unknown(cycle)]


def unknown(cycle: Cycle) -> RunReport:
    """Nothing is known yet."""
    return RunReport(run_id=ref(cycle).run_id, fate=RunFate.UNKNOWN)
