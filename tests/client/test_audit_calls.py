"""What a history tells of its calls, event by event, and that no history breaks its reader."""

import ast
import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import ApplicationFailureInfo
from temporalio.api.history.v1 import HistoryEvent

import client
from client.audit_calls import COST_NOTHING, NOTHING_BILLED, HistoryReader, Telling, Unreadable
from domain import errors
from domain.cycle import CallUsage
from domain.envelope import Envelope
from domain.errors import COSTS_NOTHING, ErrorCode
from domain.ledger import Granted
from domain.pricing import PRICES, price_of

RUN = "run-1"
D1, D2 = date(2026, 11, 23), date(2026, 11, 24)
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
NOON = MIDNIGHT - timedelta(hours=12)
START = {"request": {"designer": "claude", "model": "claude-haiku-5-5", "budget_scope": "lab"}, "price": None}


def payloads(value: object) -> Payloads:
    """As the house's converter writes them."""
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())])


@dataclass
class History:
    """Writes a cycle's history as the server does."""

    events: list[HistoryEvent] = field(default_factory=list)

    def add(self, kind: str, at: datetime, **attributes: object) -> int:
        """One event; its number."""
        event = HistoryEvent(event_id=len(self.events) + 1, event_type=EventType.Value(f"EVENT_TYPE_{kind}"))
        event.event_time.CopyFrom(Timestamp(seconds=int(at.timestamp())))
        target = getattr(event, f"{kind.lower()}_event_attributes")
        target.SetInParent()
        for name, value in attributes.items():
            if isinstance(value, Payloads):
                getattr(target, name).CopyFrom(value)
            elif name == "activity_type":
                target.activity_type.name = value
            elif isinstance(value, ApplicationFailureInfo):
                target.failure.application_failure_info.CopyFrom(value)
            else:
                setattr(target, name, value)
        self.events.append(event)
        return event.event_id

    def begin(self, **changes: object) -> None:
        """The start, and the run's one envelope."""
        self.add("WORKFLOW_EXECUTION_STARTED", NOON, input=payloads({**START, **changes}))
        self.add(
            "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
            NOON,
            signal_name="open",
            input=payloads({"run_id": RUN, "key": "key-1"}),
        )

    def task(self, at: datetime) -> None:
        """A workflow task that began at this time."""
        started = self.add("WORKFLOW_TASK_STARTED", at)
        self.add("WORKFLOW_TASK_COMPLETED", at + timedelta(milliseconds=5), started_event_id=started)

    def ask(self, at: datetime, ceiling: int = 1_000, run: str = RUN) -> int:
        """A turn that is asked for at this time."""
        self.task(at)
        turn = {"granted_run_id": run, "turn": 1, "ceiling_tokens": ceiling}
        return self.add("ACTIVITY_TASK_SCHEDULED", at, activity_type="design", input=payloads(turn))

    def answer(self, turn: int, at: datetime, **usage: object) -> None:
        """Its answer, and the task that hears it."""
        told = {"model": "claude-haiku-5-5", **usage} if usage else None
        self.add("ACTIVITY_TASK_COMPLETED", at, scheduled_event_id=turn, result=payloads({"usage": told}))
        self.task(at)

    def fail(self, turn: int, at: datetime, code: str, says: str | None = None) -> None:
        """Its failure, and the task that hears it."""
        told = ApplicationFailureInfo(type=code, details=payloads(says) if says else None)
        self.add("ACTIVITY_TASK_FAILED", at, scheduled_event_id=turn, failure=told)
        self.task(at)

    def told(self) -> Telling:
        """What it tells."""
        reader = HistoryReader("cycle-1", RUN)
        for event in self.events:
            reader.read(event)
        return reader.telling()


def one_call(taken: datetime, known: datetime, end: str) -> History:
    """A history of one call that ended so."""
    history = History()
    history.begin()
    turn = history.ask(taken)
    match end:
        case "answer":
            history.answer(turn, known, input=10)
        case "lost":
            history.fail(turn, known, "answer_lost")
        case "timeout":
            history.add("ACTIVITY_TASK_TIMED_OUT", known, scheduled_event_id=turn)
            history.task(known)
        case "terminated":
            history.add("WORKFLOW_EXECUTION_TERMINATED", known)
    return history


@pytest.mark.parametrize(
    ("taken", "known", "end", "days"),
    [
        (-7200, -3600, "answer", (D1,)),
        (-120, 120, "answer", (D1, D2)),
        (-7200, -61, "answer", (D1,)),
        (-7200, -60, "answer", (D1, D2)),
        (59, 3600, "answer", (D1, D2)),
        (60, 3600, "answer", (D2,)),
        (-7200, -16 * 60 - 1, "lost", (D1,)),
        (-7200, -16 * 60, "lost", (D1, D2)),
        (-7200, -16 * 60, "timeout", (D1, D2)),
        (-7200, -16 * 60, "terminated", (D1, D2)),
        (-7200, -16 * 60 - 1, "terminated", (D1,)),
    ],
)
def test_a_call_counts_on_each_day_on_which_it_may_have_been_billed(
    taken: int, known: int, end: str, days: tuple[date, ...]
) -> None:
    history = one_call(MIDNIGHT + timedelta(seconds=taken), MIDNIGHT + timedelta(seconds=known), end)

    assert [call.days for call in history.told().calls] == [days]


def test_the_workflows_clock_counts_and_not_the_servers() -> None:
    history = History()
    history.begin()
    history.task(MIDNIGHT - timedelta(minutes=3))
    turn = {"granted_run_id": RUN, "ceiling_tokens": 1_000}
    late = MIDNIGHT + timedelta(minutes=3)
    number = history.add("ACTIVITY_TASK_SCHEDULED", late, activity_type="assess", input=payloads(turn))
    history.answer(number, late, output=5)

    assert history.told().calls[0].days == (D1, D2)


@pytest.mark.parametrize("code", [*ErrorCode, "SomethingElse"])
def test_a_failure_costs_its_ceiling_unless_it_proves_that_nothing_was_billed(code: str) -> None:
    history = History()
    history.begin()
    history.fail(history.ask(NOON), NOON, str(code))

    calls = history.told().calls
    assert [(call.state, call.total_tokens) for call in calls] == (
        [] if code in COSTS_NOTHING else [("charged", 1_000)]
    )


def test_what_costs_nothing_is_said_a_second_time_with_the_same_words() -> None:
    assert {code.value for code in COSTS_NOTHING} == COST_NOTHING
    assert errors.NOTHING_BILLED == NOTHING_BILLED


def test_turns_that_may_call_no_model_are_no_calls_and_take_no_number() -> None:
    history = History()
    history.begin()
    history.answer(history.ask(NOON, ceiling=0), NOON)
    history.fail(history.ask(NOON, ceiling=0), NOON, "internal_error")
    history.answer(history.ask(NOON), NOON, output=7)

    [call] = history.told().calls
    assert (call.seq, call.total_tokens, call.envelope) == (1, 7, "key-1")


def test_an_answer_that_tells_no_usage_is_charged_with_its_ceiling() -> None:
    history = History()
    history.begin()
    history.answer(history.ask(NOON, ceiling=500), NOON)

    [call] = history.told().calls
    assert (call.state, call.total_tokens) == ("charged", 500)


def test_a_call_in_flight_is_told_with_its_ceiling_and_counts_once_the_run_has_ended() -> None:
    history = History()
    history.begin()
    history.ask(NOON)
    flying = history.told()
    history.add("WORKFLOW_EXECUTION_TIMED_OUT", NOON + timedelta(days=1))

    assert (flying.calls, [one.ceiling for one in flying.in_flight]) == ((), [1_000])
    ended = history.told()
    assert ([call.days for call in ended.calls], ended.in_flight) == ([(D1, D2)], ())


def test_each_envelope_of_a_run_numbers_its_own_calls() -> None:
    history = History()
    history.begin()
    history.answer(history.ask(NOON), NOON, output=1)
    history.add(
        "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
        NOON,
        signal_name="open",
        input=payloads({"run_id": RUN, "key": "key-2"}),
    )
    history.answer(history.ask(NOON), NOON, output=2)
    history.answer(history.ask(NOON, run="run-0"), NOON, output=3)

    assert [call.identity for call in history.told().calls] == [(RUN, "key-1", 1), (RUN, "key-2", 1), ("run-0", "", 1)]


@pytest.mark.parametrize(
    "usage",
    [
        {"input": 1_000, "output": 500},
        {"input": 10, "cache_write": 3_000, "cache_write_1h": 1_000, "cache_read": 20_000, "output": 3},
        {"input": 60_000, "cache_write": 20_000, "cache_read": 20_000, "output": 9_999},
        {"input": 60_000, "cache_write": 20_000, "cache_read": 20_001, "output": 9_999},
    ],
)
def test_dollars_are_those_of_the_price_that_the_cycle_carries(usage: dict[str, int]) -> None:
    price = price_of("claude-haiku-5-5")
    assert price is not None
    history = History()
    history.begin(price=json.loads(price.model_dump_json()))
    history.answer(history.ask(NOON), NOON, **usage)
    history.fail(history.ask(NOON, ceiling=100_000), NOON, "answer_lost")
    history.fail(history.ask(NOON, ceiling=100_001), NOON, "answer_lost")

    low, high = price.rates
    rates = high if usage["input"] + usage.get("cache_write", 0) + usage.get("cache_read", 0) > 100_000 else low
    hour = usage.get("cache_write_1h", 0)
    expected = (
        usage["input"] * rates.input
        + (usage.get("cache_write", 0) - hour) * rates.cache_write
        + hour * rates.cache_write_1h
        + usage.get("cache_read", 0) * rates.cache_read
        + usage["output"] * rates.output
    ) / 1_000_000
    assert [call.cost for call in history.told().calls] == [expected, Decimal("0.05"), Decimal("0.2500025")]


def test_what_was_not_served_at_list_prices_has_no_price() -> None:
    history = History()
    history.begin(price=json.loads(PRICES["claude-haiku-5-5"].model_dump_json()))
    history.answer(history.ask(NOON), NOON, input=1_000, output=500, off_list=True)
    assert [(call.total_tokens, call.cost) for call in history.told().calls] == [(1_500, None)]


CALLS = st.lists(
    st.tuples(
        st.integers(0, 200_000),  # seconds until it is asked for
        st.integers(0, 100_000),  # and until it ends
        st.sampled_from(["answer", "answer", "lost", "nothing", "unsent"]),
        st.integers(1, 200_000),
        st.lists(st.integers(0, 60_000), min_size=4, max_size=4),
    ),
    max_size=6,
)


@given(CALLS)
@settings(max_examples=60, deadline=None)
def test_both_statements_of_the_rules_come_to_the_same_calls(
    calls: list[tuple[int, int, str, int, list[int]]],
) -> None:
    price = price_of("claude-haiku-5-5")
    assert price is not None
    granted = Granted(key="key-1", cycle_id="cycle-1", run_id=RUN, tokens=10**9, usd=Decimal(10**6))
    envelope, records, now = Envelope.opened(granted, {"design": 10**9}), [], NOON
    history = History()
    history.begin(price=json.loads(price.model_dump_json()))
    for pause, length, end, ceiling, (fresh, written, read, output) in calls:
        now += timedelta(seconds=pause)
        envelope, ticket = envelope.take("design", ceiling, price.ceiling(ceiling), now)
        turn = history.ask(now, ceiling)
        now += timedelta(seconds=length)
        if end == "answer":
            parts = {"input": fresh, "cache_write": written, "cache_write_1h": written // 3}
            parts |= {"cache_read": read, "output": output}
            usage = CallUsage(model="claude-haiku-5-5", **parts)
            history.answer(turn, now, **parts)
            envelope, record = envelope.settle(ticket, usage, price.cost(usage), now)
            records.append(record)
        elif end == "lost":
            history.fail(turn, now, "answer_lost", "that much is known")
            envelope, record = envelope.charge(ticket, "claude-haiku-5-5", now)
            records.append(record)
        else:
            free = ("anthropic_error", None) if end == "nothing" else ("internal_error", errors.NOTHING_BILLED)
            history.fail(turn, now, *free)
            envelope = envelope.put_back(ticket)

    told = [(one.seq, one.state, one.total_tokens, one.cost, one.days) for one in history.told().calls]
    assert told == [(one.seq, one.kind.value, one.tokens, one.usd, one.days) for one in records]


def whole() -> History:
    """One with everything in it."""
    history = History()
    history.begin(price=json.loads(price_of("claude-haiku-5-5").model_dump_json()))  # type: ignore[union-attr]
    history.answer(history.ask(NOON), NOON, input=1)
    sent = {"run_id": RUN, "envelope_key": "key-1", "seq": 1}
    number = history.add(
        "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED", NOON, signal_name="record", input=payloads(sent)
    )
    history.add("EXTERNAL_WORKFLOW_EXECUTION_SIGNALED", NOON, initiated_event_id=number)
    history.fail(history.ask(NOON), NOON, "answer_lost")
    history.add(
        "WORKFLOW_EXECUTION_SIGNALED", NOON, signal_name="closed", input=payloads({"run_id": RUN, "key": "key-1"})
    )
    history.ask(NOON)
    history.add("WORKFLOW_EXECUTION_TERMINATED", NOON)
    return history


ODD = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"null", b"[]", b"{}", b'"x"', b"[" * 9_000, b"1e999", b'{"usage":{"model":"m","input":-1}}']),
    st.sampled_from([b'{"run_id":"r","key":"k"}', b'{"granted_run_id":"","ceiling_tokens":1}', b"9" * 5_000]),
)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_malformed_history_does_more_than_be_unreadable(data: st.DataObject) -> None:
    history = whole()
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(history.events) - 1))
        event = history.events[place]
        match data.draw(st.sampled_from(["payload", "drop", "time", "type", "twice"])):
            case "drop" if len(history.events) > 1:
                del history.events[place]
            case "time":
                event.event_time.seconds = data.draw(st.sampled_from([-(10**12), 0, 253402300799, 10**15]))
            case "type":
                event.event_type = data.draw(st.sampled_from(list(EventType.values())))
            case "twice":
                history.events.append(event)
            case _:
                for part in _payloads(event):
                    part.data = data.draw(ODD)
    with suppress(Unreadable):
        history.told()


def _payloads(event: HistoryEvent) -> list[Payload]:
    found: list[Payload] = []
    if name := event.WhichOneof("attributes"):
        attributes = getattr(event, name)
        for field_name in ("input", "result"):
            if field_name in attributes.DESCRIPTOR.fields_by_name:
                found += getattr(attributes, field_name).payloads
    return found


def test_a_history_that_is_too_long_is_unreadable() -> None:
    reader = HistoryReader("cycle-1", RUN)

    with pytest.raises(Unreadable, match="more than 20000 events"):
        reader.read(HistoryEvent(event_id=20_001))


def test_the_audit_shares_no_rule_with_the_ledger() -> None:
    forbidden = ("domain.ledger", "domain.envelope", "domain.pricing", "domain.ceilings", "activities", "workflows")
    [folder] = {Path(path) for path in client.__path__}
    for path in folder.glob("audit*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.startswith(forbidden)], path
