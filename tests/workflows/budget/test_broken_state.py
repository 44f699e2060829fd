"""A state that is broken, or not there, when a ledger continues as new: an error that people see, never a new day."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from domain.ledger import BudgetInput, Ledger, LedgerState, Limits
from workflows.budget import BudgetWorkflow

from .conftest import until

Start = Callable[..., Awaitable[Any]]


@workflow.defn
class Before:
    """A run before the ledger's, which hands over whatever it is given."""

    @workflow.run
    async def run(self, handed_over: dict[str, Any]) -> None:
        workflow.continue_as_new(args=[handed_over], workflow=BudgetWorkflow.run)


def handed_over() -> dict[str, Any]:
    """What a sound ledger hands over, after a day on which it was told to pause."""
    now = datetime.now(UTC)
    ledger = Ledger(LedgerState.new(Limits(tokens_per_day=1_000), now, spent=True))
    ledger.pause("audit", now)
    return BudgetInput(limits=Limits(tokens_per_day=1_000), state=ledger.state).model_dump(mode="json")


def without_state(whole: dict[str, Any]) -> None:
    del whole["state"]


def state_is_null(whole: dict[str, Any]) -> None:
    whole["state"] = None


def without_days(whole: dict[str, Any]) -> None:
    del whole["state"]["days"]


def without_open_envelopes(whole: dict[str, Any]) -> None:
    del whole["state"]["accounts"]


def a_day_says_less_than_its_entries(whole: dict[str, Any]) -> None:
    for book in whole["state"]["days"].values():
        book["charged"]["tokens"] = 0


def a_day_holds_what_no_envelope_holds(whole: dict[str, Any]) -> None:
    for book in whole["state"]["days"].values():
        book["held"]["tokens"] = 5


def an_unknown_field(whole: dict[str, Any]) -> None:
    whole["state"]["refunds"] = []


def an_unknown_setting(whole: dict[str, Any]) -> None:
    whole["generosity"] = 1


def text_for_a_number(whole: dict[str, Any]) -> None:
    whole["state"]["limits"]["tokens_per_day"] = "many"


BREAKS = {
    without_state: "state is missing",
    state_is_null: "state is missing",
    without_days: "the ledger's state lacks ['days']",
    without_open_envelopes: "the ledger's state lacks ['accounts']",
    a_day_says_less_than_its_entries: "don't add up",
    a_day_holds_what_no_envelope_holds: "don't add up",
    an_unknown_field: "state.refunds",
    an_unknown_setting: "generosity",
    text_for_a_number: "state.limits.tokens_per_day",
}


@pytest_asyncio.fixture
async def hand_over(temporal_env: WorkflowEnvironment) -> AsyncIterator[Callable[..., Awaitable[WorkflowHandle]]]:
    """Continues as a ledger with what is given; hands out the ledger's run."""
    client, queue = temporal_env.client, f"broken-{uuid.uuid4()}"
    ledgers: list[WorkflowHandle] = []

    async def start(what: dict[str, Any]) -> WorkflowHandle:
        before = await client.start_workflow(Before.run, what, id=f"budget/{uuid.uuid4()}", task_queue=queue)
        ledger = client.get_workflow_handle(before.id)
        ledgers.append(ledger)

        async def follows() -> bool:
            return (await ledger.describe()).run_id != before.first_execution_run_id

        await until(follows)
        return ledger

    async with Worker(
        client,
        task_queue=queue,
        workflows=[Before, BudgetWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield start
        for ledger in ledgers:
            await ledger.terminate("the test is over")


async def test_what_a_ledger_hands_over_is_read_back_whole(hand_over: Start) -> None:
    ledger = await hand_over(handed_over())
    status = await ledger.query(BudgetWorkflow.status)
    assert (status.tokens_charged, status.tokens_remaining, status.paused) == (1_000, 0, "audit")


async def test_a_state_broken_in_any_way_stops_the_ledger_and_the_history_says_what_is_broken(hand_over: Start) -> None:
    async def told(spoil: Callable[[dict[str, Any]], None]) -> str:
        broken = handed_over()
        spoil(broken)
        ledger = await hand_over(broken)
        failures: list[str] = []

        async def failed() -> bool:
            events = (await ledger.fetch_history()).events
            tasks = [event for event in events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
            failures[:] = [everything_said(task.workflow_task_failed_event_attributes.failure) for task in tasks]
            return bool(failures)

        await until(failed)
        return failures[0]

    messages = dict(zip(BREAKS, await asyncio.gather(*map(told, BREAKS)), strict=True))
    assert {spoil.__name__ for spoil, message in BREAKS.items() if message not in messages[spoil]} == set()


async def test_a_ledger_that_cannot_read_its_state_answers_no_query(hand_over: Start) -> None:
    broken = handed_over()
    without_state(broken)
    ledger = await hand_over(broken)
    with pytest.raises((WorkflowQueryFailedError, RPCError)):
        await ledger.query(BudgetWorkflow.status, rpc_timeout=timedelta(seconds=1))


def everything_said(failure: Failure) -> str:
    """A failure's message and those of its causes."""
    return failure.message + (f" {everything_said(failure.cause)}" if failure.HasField("cause") else "")
