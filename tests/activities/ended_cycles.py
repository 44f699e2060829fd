"""Cycles that spend by a script and then end in some way; the sweep's own activity looks at what is left of them."""

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception
from temporalio.service import RPCError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker
from temporalio.workflow import ActivityCancellationType

from activities.budget import BudgetActivities
from activities.ended_runs import READING, Reading
from activities.faults import translated
from activities.fence import billable, check_envelope
from activities.heartbeat import beating
from domain.cycle import CYCLE_WORKFLOW, CallUsage
from domain.envelope import Envelope, Ticket, ask_to_open
from domain.errors import COSTS_NOTHING, NOTHING_BILLED, ErrorCode, ResearchError
from domain.ledger import BudgetInput, Closed, Granted, Limits, Record, RunRef, RunReport
from domain.pricing import PRICES, Price
from domain.turns import Answer, FundedTurn
from workflows.budget import BudgetWorkflow

MODEL = "claude-haiku-5-5"
CAPS = {"design": 900_000, "assess": 600_000}
CEILING = 110_000


class Fate(StrEnum):
    """What becomes of a call."""

    ANSWERED = "answered"
    LONG_PROMPT = "long_prompt"
    ANSWERED_AT_LAST = "answered_at_last"
    TELLS_NO_USAGE = "tells_no_usage"
    REFUSED = "refused"
    LOST = "lost"
    BROKE = "broke"
    UNBILLED = "unbilled"
    TIMED_OUT = "timed_out"
    HANGS = "hangs"


class Step(BaseModel):
    """One call. stumbles: the workflow's task fails in which the answer is first booked."""

    phase: str = "design"
    fate: Fate = Fate.ANSWERED
    ceiling: int = CEILING
    stumbles: bool = False


class ScriptedTurn(FundedTurn):
    """What the activity is told."""

    fate: Fate


class Request(BaseModel):
    """As much of a cycle's request as counts here."""

    model: str | None = MODEL
    designer: str = "claude"
    budget_scope: str = "scripted"

    @property
    def called(self) -> str:
        """The model that a lost answer is charged for."""
        return self.model or self.designer


class Script(BaseModel):
    """As much of a cycle's input as counts here. told: how many of its records the ledger hears of."""

    ledger: str
    steps: tuple[Step, ...]
    request: Request = Request()
    price: Price | None = PRICES[MODEL]
    told: int = 0


def usage_of(turn: FundedTurn, fate: Fate) -> CallUsage:
    """What the provider bills for an answered turn."""
    prompt = 100_001 if fate is Fate.LONG_PROMPT else 100
    return CallUsage(model=MODEL, input=prompt, cache_write=7, cache_write_1h=3, cache_read=40, output=turn.turn)


stumbled: set[str] = set()


@workflow.defn(name=CYCLE_WORKFLOW, sandboxed=False)
class ScriptedCycle:
    """Takes, settles, charges and puts back as a cycle does; then it waits for its end."""

    @workflow.init
    def __init__(self, script: Script) -> None:
        self.script = script
        self.key = ""
        self.answer: Granted | None = None
        self.spent: Envelope | None = None
        self.made: list[Record] = []
        self.at_rest = False

    @workflow.run
    async def run(self, script: Script) -> None:
        await self.open()
        for number, step in enumerate(script.steps, 1):
            while await self.call(number, step) is ErrorCode.ENVELOPE_STALE:
                await self.open()
        self.at_rest = True
        await workflow.wait_condition(lambda: False)

    async def open(self) -> None:
        info, usd = workflow.info(), self.usd(sum(CAPS.values()))
        self.answer, self.key = None, str(workflow.uuid4())
        await self.say("open", ask_to_open(self.key, info.workflow_id, info.run_id, CAPS, usd, True, workflow.now()))
        await workflow.wait_condition(lambda: self.answer is not None)
        assert self.answer is not None
        self.spent, self.made = Envelope.opened(self.answer, CAPS), []

    async def call(self, number: int, step: Step) -> ErrorCode | None:
        assert self.spent is not None
        self.spent, ticket = self.spent.take(step.phase, step.ceiling, self.usd(step.ceiling), workflow.now())
        turn = ScriptedTurn(granted_run_id=self.spent.run_id, turn=number, ceiling_tokens=step.ceiling, fate=step.fate)
        code = None
        try:
            answer = await workflow.execute_activity(
                step.phase,
                turn,
                result_type=Answer,
                task_queue=f"{workflow.info().task_queue}-turns",
                start_to_close_timeout=timedelta(seconds=0.2 if step.fate is Fate.TIMED_OUT else 60),
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(milliseconds=10),
                    non_retryable_error_types=[ErrorCode.ANSWER_LOST, "TemporalTimeout:StartToClose"],
                ),
                cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except ActivityError as error:
            cause = error.cause
            told = cause if isinstance(cause, ApplicationError) else ApplicationError("")
            code = told.type
            nothing = code in set(COSTS_NOTHING) or NOTHING_BILLED in told.details
            if is_cancelled_exception(error) or not nothing:
                await self.book(ticket, None)
            else:
                self.spent = self.spent.put_back(ticket)
        else:
            self.stumble(step)
            await self.book(ticket, answer.usage)
        return ErrorCode(code) if code in set(ErrorCode) else None

    async def book(self, ticket: Ticket, usage: CallUsage | None) -> None:
        assert self.spent is not None
        if usage is None and ticket.tokens == 0:
            self.spent = self.spent.put_back(ticket)
            return
        if usage is None:
            self.spent, record = self.spent.charge(ticket, self.script.request.called, workflow.now())
        else:
            cost = self.script.price.cost(usage) if self.script.price else None
            self.spent, record = self.spent.settle(ticket, usage, cost, workflow.now())
        self.made.append(record)
        if len(self.made) <= self.script.told:
            await self.say("record", record)

    async def say(self, signal: str, message: object) -> None:
        while True:
            try:
                await workflow.get_external_workflow_handle(self.script.ledger).signal(signal, message)
                return
            except FailureError:
                await workflow.sleep(timedelta(milliseconds=100))

    def usd(self, tokens: int) -> Decimal | None:
        return self.script.price.ceiling(tokens) if self.script.price else None

    def stumble(self, step: Step) -> None:
        run_id = workflow.info().run_id
        if step.stumbles and run_id not in stumbled:
            stumbled.add(run_id)
            raise RuntimeError("this task fails, and is tried again")

    @workflow.signal
    def granted(self, message: Granted) -> None:
        if message.key == self.key:
            self.answer = message

    @workflow.signal
    def closed(self, message: Closed) -> None:
        pass

    @workflow.query
    def resting(self) -> bool:
        return self.at_rest

    @workflow.query
    def envelope(self) -> Envelope | None:
        return self.spent

    @workflow.query
    def model(self) -> str:
        return self.script.request.called

    @workflow.query
    def records(self) -> list[Record]:
        return self.made


@dataclass
class Turns:
    """The scripted designer and assessor.

    release: lets those go on that hang. stale_once: a turn that finds, once, that its envelope is the ledger's no more.
    """

    release: asyncio.Event = field(default_factory=asyncio.Event)
    stale_once: int | None = None

    @activity.defn(name="design")
    async def design(self, turn: ScriptedTurn) -> Answer:
        return await self.answer(turn)

    @activity.defn(name="assess")
    async def assess(self, turn: ScriptedTurn) -> Answer:
        return await self.answer(turn)

    async def answer(self, turn: ScriptedTurn) -> Answer:
        with translated():
            check_envelope(turn.granted_run_id)
            if turn.turn == self.stale_once:
                self.stale_once = None
                raise ResearchError(ErrorCode.ENVELOPE_STALE, "the ledger was restarted")
            async with beating("a scripted call"):
                match turn.fate:
                    case Fate.TELLS_NO_USAGE:
                        return Answer()
                    case Fate.REFUSED:
                        raise ResearchError(ErrorCode.ANTHROPIC_REQUEST, "refused before a model saw it")
                    case Fate.LOST:
                        raise ResearchError(ErrorCode.ANSWER_LOST, "the connection was dropped")
                    case Fate.BROKE:
                        raise KeyError("as by a defect")
                    case Fate.UNBILLED:
                        with billable(turn):
                            raise KeyError("as by a defect, before a request")
                    case Fate.ANSWERED_AT_LAST if activity.info().attempt < 3:
                        raise ResearchError(ErrorCode.ANTHROPIC_ERROR, "overloaded")
                    case Fate.HANGS | Fate.TIMED_OUT:
                        await self.release.wait()
                return Answer(usage=usage_of(turn, turn.fate))


Cycle = WorkflowHandle[ScriptedCycle, None]


@dataclass
class House:
    """A ledger, and the workers of cycles that are looked at when they have ended."""

    client: Client
    queue: str
    ledger: WorkflowHandle[Any, Any]
    turns: Turns
    started: list[str] = field(default_factory=list)

    async def cycle(self, *steps: Step, lasts: timedelta | None = None, **script: Any) -> Cycle:
        """Starts one."""
        started = await self.client.start_workflow(
            ScriptedCycle.run,
            Script(ledger=self.ledger.id, steps=steps, **script),
            id=f"cycle-{uuid.uuid4()}",
            task_queue=self.queue,
            execution_timeout=lasts,
        )
        self.started.append(started.id)
        return self.client.get_workflow_handle_for(ScriptedCycle.run, started.id, run_id=started.first_execution_run_id)

    async def ended(self, *steps: Step, **script: Any) -> Cycle:
        """One that was terminated with nothing in flight."""
        cycle = await self.cycle(*steps, **script)
        await until(lambda: cycle.query(ScriptedCycle.resting))
        await cycle.terminate("as by a person in the Web UI")
        return cycle

    async def report(self, cycle: Cycle) -> RunReport:
        """What the sweep finds out about a cycle's run."""
        [report] = await self.reports([ref(cycle)])
        return report

    async def reports(self, runs: Sequence[RunRef], **options: Any) -> list[RunReport]:
        """What the sweep finds out about these runs."""
        return await sweep(self.client, runs, **options)

    async def told_by_its_envelope(self, cycle: Cycle) -> tuple[Record, ...]:
        """The records that an ended run made, and those that it would have made of what was in flight."""
        model = await cycle.query(ScriptedCycle.model)
        envelope = await cycle.query(ScriptedCycle.envelope)
        records = await cycle.query(ScriptedCycle.records)
        assert envelope is not None
        end = (await events(cycle))[-1].event_time.ToNanoseconds() / 1e9
        for ticket in envelope.in_flight:
            envelope, record = envelope.charge(ticket, model, datetime.fromtimestamp(end, tz=UTC))
            records.append(record)
        return tuple(records)


async def sweep(
    client: Client, runs: Sequence[RunRef], reading: Reading = READING, patience: timedelta = timedelta(seconds=20)
) -> list[RunReport]:
    """What the ledger's own activity says of these runs. patience: what its policy allows an attempt."""
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(environment.info, start_to_close_timeout=patience)
    return await environment.run(BudgetActivities(client, reading=reading).describe_holders, list(runs))


@asynccontextmanager
async def ended_house(client: Client) -> AsyncIterator[House]:
    """A house of its own."""
    queue, turns = f"ended-{uuid.uuid4().hex[:8]}", Turns()
    ledger = await client.start_workflow(
        BudgetWorkflow.run,
        BudgetInput(limits=Limits(tokens_per_day=100_000_000, max_active_cycles=40)),
        id=f"budget/{queue}",
        task_queue=f"{queue}-ledger",
    )
    async with (
        Worker(client, task_queue=queue, workflows=[ScriptedCycle]),
        Worker(
            client,
            task_queue=f"{queue}-turns",
            activities=[turns.design, turns.assess],
            max_heartbeat_throttle_interval=timedelta(seconds=0.1),
        ),
        Worker(
            client,
            task_queue=f"{queue}-ledger",
            workflows=[BudgetWorkflow],
            activities=[BudgetActivities(client).describe_holders],
        ),
    ):
        house = House(client, queue, client.get_workflow_handle(ledger.id), turns)
        yield house
        turns.release.set()
        for workflow_id in (*house.started, ledger.id):
            with contextlib.suppress(RPCError):  # where it has ended
                await client.get_workflow_handle(workflow_id).terminate("the test is over")


def ref(cycle: Cycle) -> RunRef:
    """What the ledger knows of a run."""
    return RunRef(cycle_id=cycle.id, run_id=cycle.run_id or "")


async def events(cycle: Cycle) -> list[HistoryEvent]:
    """A run's history."""
    return list((await cycle.fetch_history()).events)


def is_a_turn(event: HistoryEvent) -> bool:
    """Whether a turn was asked for here."""
    return event.HasField("activity_task_scheduled_event_attributes")


async def has(cycle: Cycle, kind: str, times: int = 1) -> bool:
    """Whether so many events of this kind stand in a run's history."""
    return sum(event.HasField(f"{kind}_event_attributes") for event in await events(cycle)) >= times  # type: ignore[arg-type]


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Waits for something that has to become true."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)
