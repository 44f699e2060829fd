"""What the history of an ended cycle tells of its calls.

A run that was terminated, timed out or reset ends without a word to the ledger. Its history tells what it spent, and
here that is spent again, event by event, from envelopes as the run had them: what comes out are the Records that the
run made, with the same numbers, and those that it had no time to make. So a record that reached the ledger before, or
comes late, is known for the same call.

A history is somebody else's data: one that doesn't fit together is unreadable as a whole, never half believed.

The same reader tells of a run that still goes on what it has spent so far (activities.open_envelopes).
"""

import logging
from bisect import bisect
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import TypeVar

from pydantic import BaseModel, Field
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import ApplicationFailureInfo
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from domain.cycle import CYCLE_WORKFLOW, CallUsage, PhaseUsage
from domain.envelope import Envelope, Purse, Ticket
from domain.errors import COSTS_NOTHING, NOTHING_BILLED
from domain.ledger import Open, Record, RecordKind, RunRef
from domain.pricing import Price

BILLABLE = ("design", "assess")
"""The activities that may call a model; each is the phase of its calls."""

_BOUNDLESS = 10**18
"""Tokens in an envelope that is spent again: whether the calls fit into what was granted is for the ledger to say."""

_ENDED = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    }
)

T = TypeVar("T", bound=BaseModel)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """How much of one history is read; what is longer counts as unreadable. A cycle's has some hundred events and less
    than a megabyte. But a sweep reads as many as 40 within seconds, in the memory of a worker that does other things
    too, and what it is told has to fit into one answer: room.
    """

    events: int = 20_000
    size: int = 10_000_000
    calls: int = 500
    room: int = 1_000_000


READING = Reading()


class HistoryUnreadable(Exception):
    """Nobody knows what this run spent."""


class _Scope(BaseModel):
    budget_scope: str | None = None


class _Scoped(BaseModel):
    """Of a cycle's input: under which ledger it is. Told by itself, so that what else breaks is that ledger's alone."""

    request: _Scope


class _Request(BaseModel):
    model: str | None = None
    designer: str


class _Start(BaseModel):
    """Of a cycle's input: who is called, and what that costs."""

    request: _Request
    price: Price | None = None


class _Turn(BaseModel):
    """Of a turn's input: whose money it may spend, and how much."""

    granted_run_id: str
    ceiling_tokens: int = Field(ge=0)


class _Answer(BaseModel):
    """Of a turn's answer: what was billed, as domain.turns.Answer has it."""

    usage: CallUsage | None


async def calls_of(client: Client, run: RunRef, reading: Reading) -> tuple[Record, ...] | None:
    """Every call of an ended run from its last envelope; None where its history is gone, unreadable or too long.

    Raises RPCError where the server can't be asked now.
    """
    events = await history_of(client, run, reading)
    return await calls_told(events, run, client.data_converter, reading) if events else None


async def history_of(client: Client, run: RunRef, reading: Reading) -> list[HistoryEvent] | None:
    """A run's whole history; None where it is gone or too long. Raises RPCError where the server can't be asked now."""
    try:
        return [event async for event in events_of(client, run, reading)]
    except HistoryUnreadable as error:
        log.warning("the history of cycle %s (run %s) is not read: %s", run.cycle_id, run.run_id, error)
        return None
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None


async def calls_told(
    events: Sequence[HistoryEvent], run: RunRef, converter: DataConverter, reading: Reading
) -> tuple[Record, ...] | None:
    """Every call of an ended run from its last envelope, as its history tells; None where that is unreadable."""
    try:
        calls = await calls_in(events, run, converter)
        if len(calls) > reading.calls:
            raise HistoryUnreadable(f"it has {len(calls)} calls, and no cycle makes more than {reading.calls}")
        return calls
    except HistoryUnreadable as error:
        log.warning("what cycle %s (run %s) spent is not known: %s", run.cycle_id, run.run_id, error)
        return None


async def events_of(client: Client, run: RunRef, reading: Reading) -> AsyncIterator[HistoryEvent]:
    """A run's history, event by event. Raises HistoryUnreadable where it is too long, and RPCError."""
    size = 0
    handle = client.get_workflow_handle(run.cycle_id, run_id=run.run_id)
    async for event in handle.fetch_history_events(skip_archival=True):
        size += event.ByteSize()
        if event.event_id > reading.events or size > reading.size:
            raise HistoryUnreadable(f"it has more than {reading.events} events, or than {reading.size} bytes")
        yield event


async def calls_in(events: Sequence[HistoryEvent], run: RunRef, converter: DataConverter) -> tuple[Record, ...]:
    """The calls that a whole history tells of. Raises HistoryUnreadable, and nothing else whatever the events are."""
    with what_breaks_is_unreadable():
        if not has_ended(events):
            raise HistoryUnreadable("it breaks off before the run's end")
        spending = await HistoryReader(events, run, converter).spent()
        return spending.end(event_time(events[-1]))


def has_ended(events: Sequence[HistoryEvent]) -> bool:
    """Whether the history goes on to the run's end."""
    return events[-1].event_type in _ENDED


@contextmanager
def what_breaks_is_unreadable() -> Iterator[None]:
    """Lets nothing but HistoryUnreadable and RPCError leave the block: whatever else breaks is in the history, and no
    reason to fail for the other runs.
    """
    try:
        yield
    except (HistoryUnreadable, RPCError):
        raise
    except Exception as error:
        raise HistoryUnreadable(f"{type(error).__name__}: {error}"[:500]) from error


class Spending:
    """A run's envelopes, spent again. What is done to a call is what the cycle does (workflows/funds.py)."""

    def __init__(self, run: RunRef, model: str, price: Price | None) -> None:
        self._run = run
        self._model = model
        self._price = price
        self._envelopes: dict[str, Envelope] = {}
        self._records: dict[str, list[Record]] = {}
        self._in_flight: dict[int, tuple[str, Ticket]] = {}
        self._attempts: set[int] = set()

    def open(self, key: str) -> None:
        """The run asks for an envelope; asking again with the same key is one ask."""
        if key not in self._envelopes:
            purses = {phase: Purse(granted=_BOUNDLESS) for phase in BILLABLE}
            self._envelopes[key] = Envelope(
                key=key, cycle_id=self._run.cycle_id, run_id=self._run.run_id, purses=purses
            )
            self._records[key] = []

    def take(self, number: int, phase: str, tokens: int, at: datetime) -> None:
        """An attempt is scheduled, by this number, out of the envelope that was asked for last."""
        if not self._envelopes:
            raise HistoryUnreadable("it spends from an envelope that it did not ask for")
        key = list(self._envelopes)[-1]
        usd = self._price.ceiling(tokens) if self._price else None
        self._envelopes[key], ticket = self._envelopes[key].take(phase, tokens, usd, at)
        self._in_flight[number] = (key, ticket)
        self._attempts.add(number)

    def has(self, number: int) -> bool:
        """Whether this is one of the run's attempts. One that was booked and is heard of again breaks what follows."""
        return number in self._attempts

    def settle(self, number: int, usage: CallUsage | None, at: datetime) -> None:
        """Its answer came. One that doesn't tell its usage is charged."""
        if usage is None:
            self.lose(number, at)
            return
        key, ticket = self._in_flight.pop(number)
        cost = self._price.cost(usage) if self._price else None
        self._envelopes[key], record = self._envelopes[key].settle(ticket, usage, cost, at)
        self._records[key].append(record)

    def put_back(self, number: int) -> None:
        """It provably cost nothing."""
        key, ticket = self._in_flight.pop(number)
        self._envelopes[key] = self._envelopes[key].put_back(ticket)

    def lose(self, number: int, at: datetime) -> None:
        """Its answer is not known, and may have been billed; one with a ceiling of nothing was not."""
        key, ticket = self._in_flight.pop(number)
        if ticket.tokens == 0:
            self._envelopes[key] = self._envelopes[key].put_back(ticket)
            return
        self._envelopes[key], record = self._envelopes[key].charge(ticket, self._model, at)
        self._records[key].append(record)

    @property
    def last(self) -> tuple[str, tuple[Record, ...]] | None:
        """The key of the envelope that was asked for last, and the calls that were made of it so far."""
        return next(((key, tuple(calls)) for key, calls in reversed(self._records.items())), None)

    @property
    def sums(self) -> dict[str, object]:
        """What was spent of all envelopes, as the cycle's status tells it (workflows/funds.py)."""
        envelopes = self._envelopes.values()
        return {
            "tokens": sum(envelope.tokens_spent for envelope in envelopes),
            "usage": self._usage(),
            "cost_usd": sum((envelope.spent_usd for envelope in envelopes), Decimal(0)),
            "unpriced_tokens": sum(envelope.unpriced for envelope in envelopes),
        }

    def _usage(self) -> dict[str, PhaseUsage]:
        usage: dict[str, PhaseUsage] = {}
        for record in chain.from_iterable(self._records.values()):
            if record.kind is RecordKind.SETTLED:
                usage[record.phase] = usage.get(record.phase, PhaseUsage()).and_of(record.usage)
        return usage

    def end(self, at: datetime) -> tuple[Record, ...]:
        """The run ends, and with it what is in flight. All calls of its last envelope."""
        for number in list(self._in_flight):
            self.lose(number, at)
        if not self._envelopes:
            return ()
        *earlier, last = self._records.values()
        if not last and any(earlier):
            # No calls at all would fit an earlier envelope too, should the ledger still hold that one.
            raise HistoryUnreadable("its last envelope has no calls, and an earlier one has")
        return tuple(last)


class HistoryReader:
    """One history, read from its first event to its last."""

    def __init__(self, events: Sequence[HistoryEvent], run: RunRef, converter: DataConverter) -> None:
        self._events = events
        self._run = run
        self._converter = converter
        # The workflow's clock shows when its present task was started. What a task did that failed has not happened.
        self._started_by = {
            event.event_id: event.workflow_task_completed_event_attributes.started_event_id
            for event in events
            if event.HasField("workflow_task_completed_event_attributes")
        }
        self._starts = sorted(self._started_by.values())

    async def scope(self) -> str | None:
        """Which ledger the cycle is under, as its first event tells. Raises whatever breaks."""
        return (await self.started(_Scoped)).request.budget_scope

    async def spent(self) -> Spending:
        """What the run had spent by its last event. Raises whatever breaks."""
        if [event.event_id for event in self._events] != list(range(1, len(self._events) + 1)):
            raise HistoryUnreadable("it has gaps")
        start = await self.started(_Start)
        spending = Spending(self._run, start.request.model or start.request.designer, start.price)
        for event in self._events:
            await self._read(event, spending)
        return spending

    async def value(self, payloads: Payloads, of: type[T]) -> T:
        """What one payload holds. Raises whatever breaks."""
        [value] = await self._converter.decode(payloads.payloads, [of])
        if not isinstance(value, of):
            raise HistoryUnreadable(f"a {type(value).__name__} stands where a {of.__name__} should")
        return value

    async def started(self, of: type[T]) -> T:
        """What the cycle was started with. Raises whatever breaks."""
        first = self._events[0].workflow_execution_started_event_attributes
        if first.workflow_type.name != CYCLE_WORKFLOW:
            raise HistoryUnreadable(f"it is of a {first.workflow_type.name!r}, and that is no cycle")
        return await self.value(first.input, of)

    async def _read(self, event: HistoryEvent, spending: Spending) -> None:
        match event.WhichOneof("attributes"):
            case "signal_external_workflow_execution_initiated_event_attributes":
                sent = event.signal_external_workflow_execution_initiated_event_attributes
                # A reset run's history begins with what its predecessor did: its opening and its calls are not ours.
                if sent.signal_name == "open":
                    opening = await self.value(sent.input, Open)
                    if opening.run_id == self._run.run_id:
                        spending.open(opening.key)
            case "activity_task_scheduled_event_attributes":
                asked = event.activity_task_scheduled_event_attributes
                if asked.activity_type.name in BILLABLE:
                    turn = await self.value(asked.input, _Turn)
                    if turn.granted_run_id == self._run.run_id:
                        at = self._at(self._started_by[asked.workflow_task_completed_event_id])
                        spending.take(event.event_id, asked.activity_type.name, turn.ceiling_tokens, at)
            case "activity_task_completed_event_attributes":
                answered = event.activity_task_completed_event_attributes
                if spending.has(answered.scheduled_event_id):
                    answer = await self.value(answered.result, _Answer)
                    spending.settle(answered.scheduled_event_id, answer.usage, self._heard(event))
            case "activity_task_failed_event_attributes":
                failed = event.activity_task_failed_event_attributes
                if spending.has(failed.scheduled_event_id):
                    if self._cost_nothing(failed.failure.application_failure_info):
                        spending.put_back(failed.scheduled_event_id)
                    else:
                        spending.lose(failed.scheduled_event_id, self._heard(event))
            case "activity_task_timed_out_event_attributes" | "activity_task_canceled_event_attributes" as ended:
                number: int = getattr(event, ended).scheduled_event_id
                if spending.has(number):
                    spending.lose(number, self._heard(event))

    def _cost_nothing(self, told: ApplicationFailureInfo) -> bool:
        details = self._converter.payload_converter.from_payloads(told.details.payloads)
        return told.type in COSTS_NOTHING or details == [NOTHING_BILLED]

    def _heard(self, event: HistoryEvent) -> datetime:
        """What the workflow's clock showed when it heard of an event; the event's own time if it never did."""
        following = bisect(self._starts, event.event_id)
        return self._at(self._starts[following]) if following < len(self._starts) else event_time(event)

    def _at(self, start: int) -> datetime:
        event = self._events[start - 1]
        if not event.HasField("workflow_task_started_event_attributes"):
            raise HistoryUnreadable(f"event {start} starts no workflow task")
        return event_time(event)


def event_time(event: HistoryEvent) -> datetime:
    """As workflow.now() tells it."""
    return datetime.fromtimestamp(event.event_time.ToNanoseconds() / 1e9, tz=UTC)
