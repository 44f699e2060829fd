"""What a cycle's history tells of its calls, worked out from the raw events of the server.

An account beside the ledger's: the rules of what a call counts for, on which days and at which price are stated here a
second time, and no code is shared with the envelope, the ledger or the price table. Histories are not trusted: one that
can't be read raises Unreadable, whatever is in it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from pydantic import AwareDatetime, ValidationError
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from client.audit_payloads import (
    AnswerResult,
    ClosedHeard,
    OpenSent,
    RecordSent,
    StartInput,
    TurnInput,
    Usage,
    at_most,
    bill,
    parsed,
    says,
)
from domain.results import Frozen

TURNS = ("design", "assess")
"""The activities that may call a model, one turn each."""

COST_NOTHING = frozenset(
    {
        "anthropic_error",
        "anthropic_rate_limited",
        "anthropic_spend_limit",
        "anthropic_auth",
        "anthropic_request",
        "envelope_stale",
        "data_unavailable",
        "store_unavailable",
    }
)
"""Types of failure that prove that nothing was billed."""

NOTHING_BILLED = "nothing_billed"
"""What a failure of another type says by its details where it proves the same."""

SKEW = timedelta(minutes=1)
"""How far the provider's clock may be from the server's."""

GOES_ON = timedelta(minutes=15)
"""How long the provider may bill a call whose answer nobody heard."""

MOST_DAYS = 32
MOST_EVENTS = 20_000

ENDS = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    }
)

Number = tuple[str, int]
"""The run that a call's money was granted to, and the call's number in its envelope: what the ledger shows of it."""

Identity = tuple[str, str, int]
"""The same with the envelope between them; a run opens a second one where the ledger does not know its first."""


class Unreadable(Exception):
    """The history is not one that a cycle of ours can have."""


class Call(Frozen):
    """A call that was, or may have been, billed.

    run_id: the run that the money was granted to. seq: 1, 2, 3, ... in its envelope. settled: the usage counts;
    charged: nobody knows the usage, and the ceiling counts. at: when its end was known. days: all UTC days on which it
    counts in full. cost: in dollars, None where the cycle was started without a price.
    """

    cycle_id: str
    run_id: str
    envelope: str
    seq: int
    phase: str
    state: Literal["settled", "charged"]
    model: str
    input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int
    ceiling: int
    cost: Decimal | None = None
    at: AwareDatetime
    days: tuple[date, ...]

    @property
    def number(self) -> Number:
        """What the ledger knows it by."""
        return self.run_id, self.seq

    @property
    def identity(self) -> Identity:
        """What identifies it."""
        return self.run_id, self.envelope, self.seq


@dataclass(frozen=True)
class InFlight:
    """A call under way: what it may cost is known, what it costs is not."""

    run_id: str
    ceiling: int
    taken_at: datetime


@dataclass(frozen=True)
class Telling:
    """All that one history tells. A run that was made by a reset repeats calls of the run before it.

    delivered: calls of which the ledger has taken the record. receipt: the ledger acknowledged the end of every
    envelope that the run opened. reopened: it opened more than one.
    """

    cycle_id: str
    run_id: str
    calls: tuple[Call, ...]
    in_flight: tuple[InFlight, ...]
    delivered: frozenset[Identity]
    receipt: bool
    reopened: bool
    ended: bool


@dataclass
class _Attempt:
    """One attempt of a turn. nothing: it provably cost nothing. ended: the number of the event that ended it."""

    phase: str
    turn: TurnInput
    envelope: str
    taken_at: datetime
    usage: Usage | None = None
    nothing: bool = False
    ended: int | None = None
    at: datetime | None = None
    seen: bool = False


@dataclass
class HistoryReader:
    """Takes a run's events in order, then tells. Every method raises Unreadable."""

    cycle_id: str
    run_id: str
    _start: StartInput | None = None
    _now: datetime | None = None
    _tasks: dict[int, datetime] = field(default_factory=dict)
    _attempts: dict[int, _Attempt] = field(default_factory=dict)
    _envelopes: dict[str, list[str]] = field(default_factory=dict)
    _sent: dict[int, Identity] = field(default_factory=dict)
    _delivered: set[Identity] = field(default_factory=set)
    _receipts: set[str] = field(default_factory=set)
    _ended_at: datetime | None = None

    def read(self, event: HistoryEvent) -> None:
        """One event."""
        if event.event_id > MOST_EVENTS:
            raise Unreadable(f"it has more than {MOST_EVENTS} events")
        try:
            self._read(event)
        except (ValueError, OverflowError) as error:
            raise Unreadable(f"event {event.event_id} is not what a cycle writes: {_brief(error)}") from error

    def is_of(self, scope: str | None) -> bool:
        """Whether the cycle is under the ledger of this scope; its first event tells."""
        return self._start is None or self._start.request.budget_scope == scope

    def telling(self) -> Telling:
        """What the events came to."""
        if self._start is None:
            raise Unreadable("it has no beginning")
        try:
            calls = tuple(self._calls(self._start))
        except (ValueError, OverflowError) as error:
            raise Unreadable(f"its calls make no sense: {_brief(error)}") from error
        opened = self._envelopes.get(self.run_id, [])
        return Telling(
            cycle_id=self.cycle_id,
            run_id=self.run_id,
            calls=calls,
            in_flight=tuple(
                InFlight(attempt.turn.granted_run_id, attempt.turn.ceiling_tokens, attempt.taken_at)
                for attempt in self._attempts.values()
                if attempt.ended is None and attempt.turn.ceiling_tokens and self._ended_at is None
            ),
            delivered=frozenset(self._delivered),
            receipt=bool(opened) and self._receipts.issuperset(opened),
            reopened=len(opened) > 1,
            ended=self._ended_at is not None,
        )

    def _read(self, event: HistoryEvent) -> None:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                self._start = parsed(StartInput, event.workflow_execution_started_event_attributes.input)
            case EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                self._tasks[event.event_id] = _time(event)
            case EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                self._decided(event.workflow_task_completed_event_attributes.started_event_id)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled = event.activity_task_scheduled_event_attributes
                if scheduled.activity_type.name in TURNS:
                    turn = parsed(TurnInput, scheduled.input)
                    self._attempts[event.event_id] = _Attempt(
                        phase=scheduled.activity_type.name,
                        turn=turn,
                        envelope=self._envelopes.get(turn.granted_run_id, [""])[-1],
                        taken_at=self._now or _time(event),
                    )
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                completed = event.activity_task_completed_event_attributes
                if attempt := self._ends(event, completed.scheduled_event_id):
                    attempt.usage = parsed(AnswerResult, completed.result).usage
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                failed = event.activity_task_failed_event_attributes
                if attempt := self._ends(event, failed.scheduled_event_id):
                    told = failed.failure.application_failure_info
                    attempt.nothing = told.type in COST_NOTHING or says(told.details, NOTHING_BILLED)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
                self._ends(event, event.activity_task_timed_out_event_attributes.scheduled_event_id)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
                self._ends(event, event.activity_task_canceled_event_attributes.scheduled_event_id)
            case EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
                sent = event.signal_external_workflow_execution_initiated_event_attributes
                if sent.signal_name == "open":
                    asked = parsed(OpenSent, sent.input)
                    opened = self._envelopes.setdefault(asked.run_id, [])
                    if asked.key not in opened:
                        opened.append(asked.key)
                if sent.signal_name == "record":
                    record = parsed(RecordSent, sent.input)
                    self._sent[event.event_id] = (record.run_id, record.envelope_key, record.seq)
            case EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED:
                taken = event.external_workflow_execution_signaled_event_attributes
                if call := self._sent.get(taken.initiated_event_id):
                    self._delivered.add(call)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                heard = event.workflow_execution_signaled_event_attributes
                if heard.signal_name == "closed":
                    self._receipts.add(parsed(ClosedHeard, heard.input).key)
            case ended if ended in ENDS:
                self._ended_at = _time(event)

    def _decided(self, started: int) -> None:
        """The workflow has gone on, at the time that its task began, knowing what had come by then."""
        self._now = self._tasks.get(started)
        for attempt in self._attempts.values():
            if attempt.ended is not None and not attempt.seen and attempt.ended < started:
                attempt.at, attempt.seen = self._now, True

    def _ends(self, event: HistoryEvent, scheduled: int) -> _Attempt | None:
        attempt = self._attempts.get(scheduled)
        if attempt is not None:
            attempt.ended, attempt.at = event.event_id, _time(event)
        return attempt

    def _calls(self, start: StartInput) -> Iterable[Call]:
        numbers: Counter[tuple[str, str]] = Counter()
        for attempt in sorted(self._attempts.values(), key=lambda one: one.ended or MOST_EVENTS + 1):
            if attempt.ended is None and self._ended_at is None:
                continue
            if attempt.usage is None and (attempt.nothing or attempt.turn.ceiling_tokens == 0):
                continue
            envelope = attempt.turn.granted_run_id, attempt.envelope
            numbers[envelope] += 1
            yield self._call(attempt, numbers[envelope], start)

    def _call(self, attempt: _Attempt, seq: int, start: StartInput) -> Call:
        usage, ceiling, price = attempt.usage, attempt.turn.ceiling_tokens, start.price
        at = attempt.at or self._ended_at or attempt.taken_at
        if usage is None:
            return Call(
                cycle_id=self.cycle_id,
                run_id=attempt.turn.granted_run_id,
                envelope=attempt.envelope,
                seq=seq,
                phase=attempt.phase,
                state="charged",
                model=start.request.model or start.request.designer,
                total_tokens=ceiling,
                ceiling=ceiling,
                cost=at_most(price, ceiling) if price else None,
                at=at,
                days=_days(attempt.taken_at, at + GOES_ON),
            )
        return Call(
            cycle_id=self.cycle_id,
            run_id=attempt.turn.granted_run_id,
            envelope=attempt.envelope,
            seq=seq,
            phase=attempt.phase,
            state="settled",
            model=usage.model,
            input_tokens=usage.input,
            cache_write_tokens=usage.cache_write,
            cache_read_tokens=usage.cache_read,
            output_tokens=usage.output,
            total_tokens=usage.input + usage.cache_write + usage.cache_read + usage.output,
            ceiling=ceiling,
            cost=bill(price, usage) if price else None,
            at=at,
            days=_days(attempt.taken_at, at),
        )


def _days(taken: datetime, until: datetime) -> tuple[date, ...]:
    """Each UTC day from the taking to the end, by either clock."""
    day, last = (taken - SKEW).date(), (max(taken, until) + SKEW).date()
    days = [day]
    while days[-1] < last:
        days.append(days[-1] + timedelta(days=1))
    return tuple(days[-MOST_DAYS:])


def _time(event: HistoryEvent) -> datetime:
    return event.event_time.ToDatetime(tzinfo=UTC)


def _brief(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])[:80] or 'value'}: {first['msg'][:120]}"
    return str(error)[:200]
