"""Signals that arrive in the very workflow task in which a ledger continues as new: the server fails that task.

A collision is such a failed task, with the cause UNHANDLED_COMMAND in the history; they are counted there. The usual
run has twenty of them, `--chaos` a hundred.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.worker import (
    ContinueAsNewInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from domain.ledger import BudgetStatus
from workflows.budget import BudgetWorkflow

from .conftest import House, Voice, ledger_worker

Start = Callable[..., Awaitable[House]]

SOME, MANY = 5, 25
"""Ledgers in the usual run, and with --chaos."""

RUNS = 4
"""With a collision each; a server starts a run of the same ledger no sooner than a second after the last one."""

ENVELOPE = 100_000


class Flood:
    """What one ledger is told, and the message that meets each of its runs just as it continues as new."""

    def __init__(self, house: House, spender: Voice, opener: Voice) -> None:
        self.house, self.spender, self.opener = house, spender, opener
        self.records = 0
        self.tried: set[str] = set()
        self.met: set[str] = set()

    async def say(self) -> None:
        """The next call, of another number of tokens than every other."""
        self.records += 1
        await self.spender.record(self.records, tokens=self.records)()

    async def meet(self, run_id: str) -> None:
        """A call; in the ledger's first run an opening."""
        await (self.opener.open(1)() if run_id == self.house.first_run else self.say())

    async def go_on(self) -> None:
        """Until so many runs have been met."""
        await self.spender.open(ENVELOPE)()
        while len(self.met) < RUNS:
            await self.say()


class Collider(Interceptor):
    """Lets a message arrive in the task in which a ledger's run first tries to continue as new.

    The message is on the server before the task ends, so the collision is certain, whatever the machine's load. There
    is one in a run, since a server takes no signal during the tasks after it, until the run has ended.
    """

    def __init__(self) -> None:
        self.floods: dict[str, Flood] = {}
        self._loop = asyncio.get_running_loop()

    def meet(self) -> None:
        """In the workflow's thread, which waits for the message's arrival."""
        run, flood = workflow.info().run_id, self.floods[workflow.info().workflow_id]
        if run in flood.tried:
            return
        flood.tried.add(run)
        arriving = asyncio.run_coroutine_threadsafe(flood.meet(run), self._loop)
        with contextlib.suppress(TimeoutError):  # it comes later then, and another run is met in this one's stead
            arriving.result(timeout=1)  # half of what the SDK takes for a deadlock
            flood.met.add(run)

    def workflow_interceptor_class(self, _: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        """Between a ledger and the server."""
        meet = self.meet

        class Outbound(WorkflowOutboundInterceptor):
            def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002 (the name in the base class)
                meet()
                super().continue_as_new(input)

        class Inbound(WorkflowInboundInterceptor):
            def init(self, outbound: WorkflowOutboundInterceptor) -> None:
                super().init(Outbound(outbound))

        return Inbound


async def test_of_many_messages_that_collide_with_continuing_as_new_none_is_lost_and_none_counts_twice(
    open_house: Start, request: pytest.FixtureRequest
) -> None:
    queue, collider = f"colliding-{uuid.uuid4()}", Collider()
    ledgers = MANY if request.config.getoption("chaos") else SOME
    for _ in range(ledgers):
        house = await open_house(tokens=1_000_000, active=2, continue_after_events=20, at=queue)
        collider.floods[house.ledger.id] = Flood(house, await house.voice(), await house.voice())
    floods = list(collider.floods.values())
    async with ledger_worker(floods[0].house.client, queue, [collider]):
        await asyncio.gather(*(flood.go_on() for flood in floods))
        books = [await books_of(flood) for flood in floods]
        runs = [events for flood in floods for events in (await flood.house.histories()).values()]

    assert sum(map(collisions, runs)) >= ledgers * RUNS
    for flood, (status, seqs, answers) in zip(floods, books, strict=True):
        assert len(seqs) == len(set(seqs))
        assert status.invocations_today == flood.records
        assert status.tokens_settled == sum(range(flood.records + 1))
        assert status.tokens_held == ENVELOPE + 1 - status.tokens_settled
        assert answers == ["granted"]


async def books_of(flood: Flood) -> tuple[BudgetStatus, list[int], Sequence[str]]:
    """A ledger's status, the numbers of the calls in its entries, and what the one who opened in its way was told."""
    answers = [reply.kind for reply in await flood.opener.heard(1)]
    entries = await flood.house.ledger.query(BudgetWorkflow.entries)
    return await flood.house.status(), [entry.seq for entry in entries.entries], answers


def collisions(events: list[HistoryEvent]) -> int:
    """Tasks of a run that the server failed because something had come meanwhile."""
    failed = [event for event in events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
    unhandled = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    return sum(event.workflow_task_failed_event_attributes.cause == unhandled for event in failed)
