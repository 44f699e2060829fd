"""A day recomputed from the histories of cycles is what the ledger has, however the cycles went."""

import asyncio
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.testing import WorkflowEnvironment

from client.audit import audit
from client.audit_report import Audit
from domain.cycle import CYCLE_WORKFLOW, Outcome
from tests.metered.house import BOUNDS, ENVELOPE, Cycle, MeteredHouse, metered_house
from tests.metered.provider import Call, Deed
from workflows.research_cycle import ResearchCycleWorkflow

LOST = {("design", 3, 1): Deed.DROP, ("assess", 1, 1): Deed.CUT}
"""Calls whose answers nobody hears: of a phase, a turn, and which request for it."""


def today() -> date:
    """The UTC day."""
    return datetime.now(UTC).date()


async def audited(house: MeteredHouse) -> Audit:
    """Today's audit of the house's ledger."""
    return await audit(house.client, today(), house.scope)


async def until_audited(house: MeteredHouse, calls: int) -> Audit:
    """Today's audit once nothing is left unsaid and it counts so many calls; no audit before it finds a difference."""
    async with asyncio.timeout(60):
        while not ((found := await audited(house)).complete and found.calls == calls):
            assert found.equal, found
            await asyncio.sleep(0.4)
    return found


async def test_answered_lost_and_refused_calls_are_found_as_the_ledger_has_them(
    quiet_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async def deed(call: Call, nth: int) -> Deed:
        return {
            ("design", 1, 1): Deed.RATE_LIMIT,
            ("design", 2, 1): Deed.FAIL,
            **LOST,
        }.get((call.phase, call.turn, nth), Deed.ANSWER)

    async with metered_house(quiet_env.client, tmp_path) as house:
        house.provider.deed = deed
        cycle, _ = await house.start()
        assert (await asyncio.wait_for(cycle.result(), 60)).outcome is Outcome.COMPLETED
        balance = await house.balance()

        found = await audited(house)

    lost = [bill for bill in house.provider.bills if (bill.call.phase, bill.call.turn, bill.nth) in LOST]
    assert (found.equal, found.runs_read, found.calls) == (True, 1, 12)
    assert (found.settled_tokens, found.charged_tokens) == (balance.tokens_settled, 2 * BOUNDS.most)
    assert house.provider.billed() == found.settled_tokens + sum(bill.usage.total for bill in lost)
    assert (found.settled_usd, found.charged_usd) == (balance.usd_settled, balance.usd_charged)
    assert (found.unpriced_tokens, found.unsaid) == (0, ())


async def test_while_cycles_run_no_difference_is_seen_that_is_none(
    quiet_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with metered_house(quiet_env.client, tmp_path) as house:
        await house.open_ledger(tokens=2 * ENVELOPE, active=2, continue_after_events=40)
        for _ in range(2):
            await house.start()

        found = await until_audited(house, calls=20)

    assert found.settled_tokens == house.provider.billed()


async def test_a_call_in_flight_is_left_unsaid_and_its_ceiling_named(
    quiet_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with metered_house(quiet_env.client, tmp_path) as house:
        done = _held_at(house, ("design", 3))
        cycle, _ = await house.start()
        await house.provider.until(lambda: len(house.provider.calls) == 1 + len(house.provider.bills) == 3)

        found = await audited(house)

        done.set()
        await asyncio.wait_for(cycle.result(), 60)
    assert (found.equal, found.complete, found.calls) == (True, False, 2)
    [unsaid] = found.unsaid
    assert (unsaid.reason, unsaid.cycle_id, unsaid.calls) == ("in_flight", cycle.id, 1)
    assert unsaid.tokens == BOUNDS.most


async def test_a_terminated_cycle_is_left_unsaid_until_the_ledger_has_read_its_history(
    quiet_env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with metered_house(quiet_env.client, tmp_path) as house:
        done = _held_at(house, ("design", 3))
        await house.open_ledger(tokens=2 * ENVELOPE, sweep_every=timedelta(seconds=1))
        cycle, _ = await house.start()
        await house.provider.until(lambda: len(house.provider.calls) == 1 + len(house.provider.bills) == 3)
        await cycle.terminate("out of patience")

        before = await audited(house)
        found = await until_audited(house, calls=3)
        done.set()

    assert before.equal
    assert before.complete or [unsaid.reason for unsaid in before.unsaid] == ["on_its_way"]
    assert (found.charged_tokens, found.settled_tokens) == (
        BOUNDS.most,
        sum(bill.usage.total for bill in house.provider.bills[:2]),
    )


async def test_calls_that_a_reset_run_repeats_count_once(quiet_env: WorkflowEnvironment, tmp_path: Path) -> None:
    async with metered_house(quiet_env.client, tmp_path) as house:
        done = _held_at(house, ("design", 4))
        await house.open_ledger(tokens=2 * ENVELOPE)
        cycle, _ = await house.start()
        await house.provider.until(lambda: len(house.provider.calls) == 1 + len(house.provider.bills) == 4)
        now = await _reset_to(house, cycle, turn=4)
        done.set()
        await asyncio.wait_for(now.result(), 60)

        found = await until_audited(house, calls=11)

    assert found.runs_read == 2
    lost = next(bill for bill in house.provider.bills if (bill.call.turn, bill.nth) == (4, 1))
    assert found.settled_tokens == house.provider.billed() - lost.usage.total
    assert found.charged_tokens == BOUNDS.most


@pytest.mark.parametrize("start", ["nonsense", {"request": {"designer": 7}}, None])
async def test_what_only_calls_itself_a_cycle_is_left_unsaid_and_breaks_nothing(
    temporal_env: WorkflowEnvironment, tmp_path: Path, start: object
) -> None:
    async with metered_house(temporal_env.client, tmp_path) as house:
        await house.open_ledger(tokens=ENVELOPE)
        odd = await house.client.start_workflow(
            CYCLE_WORKFLOW, start, id=f"odd-{house.scope}", task_queue="nobody-polls"
        )

        said: list[str] = []
        async with asyncio.timeout(30):
            while not said:
                found = await audited(house)
                said = [one.reason for one in found.unsaid if one.cycle_id == odd.id]

        await odd.terminate()
    assert (found.equal, said) == (True, ["history_unreadable"])


def _held_at(house: MeteredHouse, turn: tuple[str, int]) -> asyncio.Event:
    """The first request for this turn is held until the event is set."""
    done = asyncio.Event()

    async def deed(call: Call, nth: int) -> Deed:
        if (call.phase, call.turn) == turn and not done.is_set():
            await done.wait()
        return Deed.ANSWER

    house.provider.deed = deed
    return done


async def _reset_to(house: MeteredHouse, cycle: Cycle, turn: int) -> Cycle:
    """As by a person in the Web UI, to where this turn of the design was asked for. The new run."""
    asked = [event.activity_task_scheduled_event_attributes for event in (await cycle.fetch_history()).events]
    tasks = [one.workflow_task_completed_event_id for one in asked if one.activity_type.name == "design"]
    answer = await house.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=house.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=cycle.id),
            workflow_task_finish_event_id=tasks[turn - 1],
            request_id=str(uuid.uuid4()),
        )
    )
    return house.client.get_workflow_handle_for(ResearchCycleWorkflow.run, cycle.id, run_id=answer.run_id)
