"""Cycles that end in every way right after sending: the books end exact or with too much, and nothing stays held."""

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from domain.cycle import CallUsage
from domain.envelope import Envelope, ask_to_open
from domain.ledger import Closed, DayEntries, Granted
from workflows.budget import BudgetWorkflow

from .conftest import PHASE, House, until

Start = Callable[..., Awaitable[House]]

CAP = 100
USED = 30


class Message(StrEnum):
    """What is sent last."""

    OPEN = "open"
    RECORD = "record"
    CLOSE = "close"


class Ending(StrEnum):
    """What happens then."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"


class Haste(BaseModel):
    """One way to end."""

    ledger: str
    last: Message
    ending: Ending


@workflow.defn
class Hasty:
    """Talks as a cycle does up to its last message, and ends in the same task in which it sends that."""

    def __init__(self) -> None:
        self.answer: Granted | None = None
        self.may_be_cancelled = False

    @workflow.run
    async def run(self, haste: Haste) -> None:
        info, key, now = workflow.info(), str(workflow.uuid4()), workflow.now()
        ledger = workflow.get_external_workflow_handle(haste.ledger)
        opening = ask_to_open(key, info.workflow_id, info.run_id, {PHASE: CAP}, Decimal(0), True, now)
        messages: list[tuple[Message, Any]] = [(Message.OPEN, opening)]
        granted = Granted(key=key, cycle_id=info.workflow_id, run_id=info.run_id, tokens=CAP, usd=Decimal(0))
        envelope, ticket = Envelope.opened(granted, {PHASE: CAP}).take(PHASE, CAP, Decimal(0), now)
        envelope, record = envelope.settle(ticket, CallUsage(model="tiny", output=USED), Decimal(0), now)
        messages += [(Message.RECORD, record), (Message.CLOSE, envelope.close(now))]
        for name, message in itertools.takewhile(lambda one: one[0] is not haste.last, messages):
            await ledger.signal(name, message)
            await workflow.wait_condition(lambda: self.answer is not None)
        last = dict(messages)[haste.last]
        if haste.ending is Ending.CANCELLED:
            try:
                self.may_be_cancelled = True
                await workflow.wait_condition(lambda: False)
            except asyncio.CancelledError:
                await self.send(ledger.signal(haste.last, last))
                raise
        await self.send(ledger.signal(haste.last, last))
        if haste.ending is Ending.FAILED:
            raise ApplicationError("as by a defect")
        if haste.ending is not Ending.COMPLETED:
            await workflow.wait_condition(lambda: False)

    async def send(self, sending: Any) -> None:
        """Sends, without waiting until it is delivered."""
        self.sending = asyncio.create_task(sending)
        await asyncio.sleep(0)

    @workflow.signal
    def granted(self, message: Granted) -> None:
        self.answer = message

    @workflow.signal
    def closed(self, message: Closed) -> None:
        pass

    @workflow.query
    def ready(self) -> bool:
        return self.may_be_cancelled


@dataclass
class Case:
    """A hasty cycle and what it did."""

    haste: Haste
    run: WorkflowHandle[Any, Any]

    async def sent(self) -> set[str]:
        """The messages that have left."""
        events = (await self.run.fetch_history()).events
        return {one.signal_external_workflow_execution_initiated_event_attributes.signal_name for one in events}

    async def all_sent(self) -> bool:
        """Whether the last message has left."""
        return self.haste.last in await self.sent()

    async def spent(self) -> int:
        """What a provider bills: a call is made before it is told."""
        return USED if Message.RECORD in await self.sent() else 0

    async def meet_its_end(self) -> None:
        """See to it that it ends as planned, just after it has sent."""
        match self.haste.ending:
            case Ending.TERMINATED:
                await until(self.all_sent)
                await self.run.terminate("as by a person in the Web UI")
            case Ending.CANCELLED:
                await until(lambda: self.run.query(Hasty.ready))
                await self.run.cancel()
        await until(lambda: ended_as(self.run, self.haste.ending))


async def ended_as(run: WorkflowHandle[Any, Any], ending: Ending) -> bool:
    """Whether the server says so."""
    return (await run.describe()).status is WorkflowExecutionStatus[
        "CANCELED" if ending is Ending.CANCELLED else ending.name
    ]


async def test_cycles_that_end_in_every_way_right_after_sending_leave_books_that_are_exact_or_say_too_much(
    open_house: Start,
) -> None:
    house = await open_house(tokens=10_000, active=20, sweep_every=timedelta(seconds=1))
    queue = f"hasty-{uuid.uuid4()}"
    async with Worker(house.client, task_queue=queue, workflows=[Hasty], workflow_runner=UnsandboxedWorkflowRunner()):
        cases = [await start(house, queue, last, ending) for last in Message for ending in Ending]
        await asyncio.gather(*(case.meet_its_end() for case in cases))

    async def nothing_is_held() -> bool:
        status = await house.status()
        return (status.active, status.waiting, status.tokens_held) == ((), (), 0)

    await until(nothing_is_held)
    entries: DayEntries = await house.ledger.query(BudgetWorkflow.entries)
    booked = {case.run.id: 0 for case in cases}
    for entry in entries.entries:
        booked[entry.operation_id] += entry.total_tokens
    assert all([await case.all_sent() for case in cases])
    told = {(case.haste.last, case.haste.ending): (await case.spent(), booked[case.run.id], CAP) for case in cases}
    assert {case: sums for case, sums in told.items() if not sums[0] <= sums[1] <= sums[2]} == {}


async def start(house: House, queue: str, last: Message, ending: Ending) -> Case:
    """A cycle in haste."""
    haste = Haste(ledger=house.ledger.id, last=last, ending=ending)
    run = await house.client.start_workflow(
        Hasty.run,
        haste,
        id=f"cycle-{uuid.uuid4()}",
        task_queue=queue,
        execution_timeout=timedelta(seconds=4) if ending is Ending.TIMED_OUT else None,
    )
    return Case(haste, run)
