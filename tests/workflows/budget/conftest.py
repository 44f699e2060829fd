"""A ledger of its own for each test, and tiny cycles that only talk to it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest_asyncio
from pydantic import BaseModel
from temporalio import workflow
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import FailureError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Interceptor, UnsandboxedWorkflowRunner, Worker

from activities.budget import BudgetActivities
from domain.cycle import CallUsage
from domain.envelope import Envelope, ask_to_open
from domain.ledger import (
    BudgetInput,
    BudgetStatus,
    Close,
    Closed,
    Granted,
    Limits,
    Queued,
    Record,
    RecordKind,
    Refused,
    Reply,
    TopUp,
)
from workflows.budget import BudgetWorkflow

PHASE = "design"


class Plan(BaseModel):
    """What a tiny cycle does. calls: the tokens that each call reports. twice: it sends every message twice."""

    ledger: str
    tokens: int = 0
    calls: tuple[int, ...] = ()
    wait: bool = False
    hold: bool = False
    twice: bool = False


class Story(BaseModel):
    """How it ended."""

    admission: str
    reason: str | None = None
    active: tuple[str, ...] = ()
    was_queued: bool = False


@workflow.defn
class TinyCycle:
    """Opens, makes its calls, holds on until told to go on where planned, closes."""

    def __init__(self) -> None:
        self.answer: Granted | Refused | None = None
        self.was_queued = False
        self.receipt: Closed | None = None
        self.may_go_on = False
        self.opened_as = ""

    @workflow.run
    async def run(self, plan: Plan) -> Story:
        info = workflow.info()
        self.ledger = workflow.get_external_workflow_handle(plan.ledger)
        self.times = 2 if plan.twice else 1
        caps = {PHASE: plan.tokens}
        key = self.opened_as = str(workflow.uuid4())
        now = workflow.now()
        await self.say("open", ask_to_open(key, info.workflow_id, info.run_id, caps, Decimal(0), plan.wait, now))
        await workflow.wait_condition(lambda: self.answer is not None)
        if isinstance(self.answer, Refused):
            return Story(
                admission="refused",
                reason=self.answer.reason.value,
                active=self.answer.active_ids,
                was_queued=self.was_queued,
            )
        assert self.answer is not None
        envelope = Envelope.opened(self.answer, caps)
        for used in plan.calls:
            envelope, ticket = envelope.take(PHASE, envelope.free(PHASE), Decimal(0), workflow.now())
            usage = CallUsage(model="tiny", output=used)
            envelope, record = envelope.settle(ticket, usage, Decimal(0), workflow.now())
            await self.say("record", record)
        await workflow.wait_condition(lambda: self.may_go_on or not plan.hold)
        await self.say("close", envelope.close(workflow.now()))
        await workflow.wait_condition(lambda: self.receipt is not None)
        return Story(admission="granted", was_queued=self.was_queued)

    async def say(self, signal: str, message: object) -> None:
        sent = 0
        while sent < self.times:
            try:
                await self.ledger.signal(signal, message)
                sent += 1
            except FailureError:
                await workflow.sleep(timedelta(milliseconds=100))

    @workflow.signal
    def granted(self, message: Granted) -> None:
        self.answer = message

    @workflow.signal
    def refused(self, message: Refused) -> None:
        self.answer = message

    @workflow.signal
    def queued(self, message: Queued) -> None:
        self.was_queued = True

    @workflow.signal
    def closed(self, message: Closed) -> None:
        self.receipt = message

    @workflow.signal
    def go_on(self) -> None:
        self.may_go_on = True

    @workflow.query
    def key(self) -> str:
        return self.opened_as

    @workflow.query
    def state(self) -> str:
        return self.answer.kind if self.answer else "queued" if self.was_queued else "asking"


@workflow.defn
class Listener:
    """A cycle's run that only hears: the test speaks in its name."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.may_end = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.may_end)

    @workflow.signal
    def granted(self, message: Granted) -> None:
        self.replies.append(message)

    @workflow.signal
    def refused(self, message: Refused) -> None:
        self.replies.append(message)

    @workflow.signal
    def queued(self, message: Queued) -> None:
        self.replies.append(message)

    @workflow.signal
    def closed(self, message: Closed) -> None:
        self.replies.append(message)

    @workflow.signal
    def end(self) -> None:
        self.may_end = True

    @workflow.query
    def heard(self) -> list[Reply]:
        return self.replies


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Waits for something that has to become true."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Voice:
    """Speaks to a ledger in the name of a listening run, in messages that can be sent as often as one likes."""

    ledger: WorkflowHandle[Any, Any]
    run: WorkflowHandle[Any, Any]
    key: str

    def open(self, tokens: int, wait: bool = False) -> Callable[[], Awaitable[None]]:
        """An opening."""
        return self._message("open", ask_to_open(self.key, *self._me(), {PHASE: tokens}, Decimal(0), wait, _now()))

    def record(self, seq: int, tokens: int, days: Sequence[date] = ()) -> Callable[[], Awaitable[None]]:
        """A call that used so many tokens; on this day, if none are named."""
        now = _now()
        record = Record(
            envelope_key=self.key,
            cycle_id=self.run.id,
            run_id=self._me()[1],
            seq=seq,
            phase=PHASE,
            kind=RecordKind.SETTLED,
            usage=CallUsage(model="tiny", output=tokens),
            cost_usd=Decimal(0),
            ceiling_tokens=tokens,
            ceiling_usd=Decimal(0),
            days=tuple(days) or (now.date(),),
            at=now,
        )
        return self._message("record", record)

    def top_up(self, tokens: int) -> Callable[[], Awaitable[None]]:
        """A request for more."""
        cycle_id, run_id = self._me()
        ask = TopUp(
            key=str(uuid.uuid4()),
            envelope_key=self.key,
            cycle_id=cycle_id,
            run_id=run_id,
            tokens=tokens,
            usd=Decimal(0),
            at=_now(),
        )
        return self._message("top_up", ask)

    def close(self, calls: int) -> Callable[[], Awaitable[None]]:
        """The end."""
        cycle_id, run_id = self._me()
        return self._message("close", Close(key=self.key, cycle_id=cycle_id, run_id=run_id, calls=calls, at=_now()))

    async def heard(self, replies: int = 0) -> list[Reply]:
        """What the run has heard, as soon as it is so many replies."""
        found: list[Reply] = []

        async def enough() -> bool:
            found[:] = await self.run.query(Listener.heard)
            return len(found) >= replies

        await until(enough)
        return found

    def _me(self) -> tuple[str, str]:
        assert self.run.first_execution_run_id is not None
        return self.run.id, self.run.first_execution_run_id

    def _message(self, name: str, message: Any) -> Callable[[], Awaitable[None]]:
        return lambda: self.ledger.signal(name, message)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class House:
    """One ledger of its own, and the means to start cycles beside it."""

    client: Client
    queue: str
    ledger: WorkflowHandle[Any, Any]
    first_run: str | None

    async def cycle(self, **plan: Any) -> WorkflowHandle[TinyCycle, Story]:
        """Starts a cycle."""
        return await self.client.start_workflow(
            TinyCycle.run,
            Plan(ledger=self.ledger.id, **plan),
            id=f"cycle-{uuid.uuid4()}",
            task_queue=f"{self.queue}-cycles",
        )

    async def voice(self, queue: str | None = None) -> Voice:
        """A listening run, and what speaks in its name. queue: where a worker serves the run, if not in this house."""
        run = await self.client.start_workflow(
            Listener.run, id=f"cycle-{uuid.uuid4()}", task_queue=queue or f"{self.queue}-cycles"
        )
        return Voice(self.ledger, run, str(uuid.uuid4()))

    async def reaches(self, cycle: WorkflowHandle[TinyCycle, Story], state: str) -> None:
        """Waits until the cycle has heard this."""

        async def there() -> bool:
            return await cycle.query(TinyCycle.state) == state

        await until(there)

    async def state(self, cycle: WorkflowHandle[TinyCycle, Story]) -> str:
        """What the cycle has heard."""
        return await cycle.query(TinyCycle.state)

    async def key(self, cycle: WorkflowHandle[TinyCycle, Story]) -> str:
        """The key under which the cycle opened its envelope."""
        return await cycle.query(TinyCycle.key)

    async def go_on(self, cycle: WorkflowHandle[TinyCycle, Story]) -> None:
        """Lets a cycle end that holds its envelope."""
        await cycle.signal(TinyCycle.go_on)

    async def histories(self) -> dict[str, list[HistoryEvent]]:
        """The events of each of the ledger's runs by the run's id, oldest first."""
        found: dict[str, list[HistoryEvent]] = {}
        following: str | None = self.first_run
        while following:
            history = await self.client.get_workflow_handle(self.ledger.id, run_id=following).fetch_history()
            found[following] = list(history.events)
            last = history.events[-1].workflow_execution_continued_as_new_event_attributes
            following = last.new_execution_run_id or None
        return found

    async def next_run(self) -> None:
        """Makes the ledger continue as new, and waits until the next run serves."""
        before = (await self.ledger.describe()).run_id
        while (await self.ledger.describe()).run_id == before:
            await self.ledger.execute_update(BudgetWorkflow.resume)

    async def status(self) -> BudgetStatus:
        """The ledger's status."""
        return await self.ledger.query(BudgetWorkflow.status)


def ledger_worker(client: Client, queue: str, interceptors: Sequence[Interceptor] = ()) -> Worker:
    """A worker of the ledger and its activities."""
    activities = BudgetActivities(client)
    return Worker(
        client,
        task_queue=queue,
        workflows=[BudgetWorkflow],
        activities=[activities.ensure_budget, activities.describe_holders],
        interceptors=interceptors,
    )


@pytest_asyncio.fixture
async def open_house(temporal_env: WorkflowEnvironment) -> AsyncIterator[Callable[..., Awaitable[House]]]:
    """Starts a ledger with these limits. at: a task queue of the test's own, on which no worker serves it yet."""
    client = temporal_env.client
    queue = f"budget-{uuid.uuid4()}"
    ledgers: list[WorkflowHandle[Any, Any]] = []

    async def start(tokens: int = 1_000, active: int = 1, at: str | None = None, **settings: Any) -> House:
        limits = Limits(tokens_per_day=tokens, max_active_cycles=active)
        ledger = await client.start_workflow(
            BudgetWorkflow.run,
            BudgetInput(limits=limits, **settings),
            id=f"budget/{uuid.uuid4()}",
            task_queue=at or queue,
        )
        ledgers.append(client.get_workflow_handle(ledger.id))
        return House(client, queue, ledgers[-1], ledger.first_execution_run_id)

    async with (
        ledger_worker(client, queue),
        Worker(
            client,
            task_queue=f"{queue}-cycles",
            workflows=[TinyCycle, Listener],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        yield start
        for ledger in ledgers:
            await ledger.terminate("the test is over")
