"""A ledger of its own for each test, and tiny cycles that only talk to it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest_asyncio
from pydantic import BaseModel
from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import FailureError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.budget import BudgetActivities
from domain.cycle import CallUsage
from domain.envelope import Envelope, ask_to_open
from domain.ledger import (
    BudgetInput,
    BudgetStatus,
    Closed,
    Granted,
    Limits,
    Queued,
    Refused,
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


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Waits for something that has to become true."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


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

    async def runs(self) -> list[str]:
        """The ids of the ledger's runs, oldest first."""
        found: list[str] = []
        following: str | None = self.first_run
        while following:
            found.append(following)
            history = await self.client.get_workflow_handle(self.ledger.id, run_id=following).fetch_history()
            last = history.events[-1]
            following = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None
        return found

    async def status(self) -> BudgetStatus:
        """The ledger's status."""
        return await self.ledger.query(BudgetWorkflow.status)


@pytest_asyncio.fixture
async def open_house(temporal_env: WorkflowEnvironment) -> AsyncIterator[Callable[..., Awaitable[House]]]:
    """Starts a ledger with these limits; its worker in the sandbox, as in production."""
    client = temporal_env.client
    queue = f"budget-{uuid.uuid4()}"
    activities = BudgetActivities(client)
    ledgers: list[WorkflowHandle[Any, Any]] = []

    async def start(tokens: int = 1_000, active: int = 1, **settings: Any) -> House:
        limits = Limits(tokens_per_day=tokens, max_active_cycles=active)
        ledger = await client.start_workflow(
            BudgetWorkflow.run,
            BudgetInput(limits=limits, **settings),
            id=f"budget/{uuid.uuid4()}",
            task_queue=queue,
        )
        ledgers.append(client.get_workflow_handle(ledger.id))
        return House(client, queue, ledgers[-1], ledger.first_execution_run_id)

    async with (
        Worker(
            client,
            task_queue=queue,
            workflows=[BudgetWorkflow],
            activities=[activities.ensure_budget, activities.describe_holders],
        ),
        Worker(
            client,
            task_queue=f"{queue}-cycles",
            workflows=[TinyCycle],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        yield start
        for ledger in ledgers:
            await ledger.terminate("the test is over")
