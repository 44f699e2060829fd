"""Histories that no server would write: they are unreadable, or read as some calls of this run, and break nothing."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, Literal

import pytest
import pytest_asyncio
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from activities.ended_runs import HistoryUnreadable, calls_in
from domain.ledger import Record, RunRef

from .ended_cycles import Fate, Step, ended_house, events, ref

OPENING: Literal["signal_external_workflow_execution_initiated_event_attributes"] = (
    "signal_external_workflow_execution_initiated_event_attributes"
)
NUMBERS = [0, 1, -1, 3, 2**31 - 1]
WORDS = st.sampled_from(["", "nan", "design", "open", "answer_lost", "anthropic_error", "\x00", "9" * 5_000])
JSON = st.recursive(
    st.none() | st.booleans() | st.sampled_from([-1, 10**30, 0.5]) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
BY_TYPE: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_INT32: st.sampled_from(NUMBERS),
    FieldDescriptor.TYPE_INT64: st.sampled_from([*NUMBERS, 2**63 - 1, -(2**63)]),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_ENUM: st.integers(0, 60),
    FieldDescriptor.TYPE_STRING: WORDS,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode()),
}


@pytest_asyncio.fixture(scope="module")
async def told(temporal_env: WorkflowEnvironment) -> tuple[RunRef, list[HistoryEvent]]:
    """A good history, with every kind of end that a call can have."""
    async with ended_house(temporal_env.client) as house:
        steps = [Step(fate=fate) for fate in (Fate.ANSWERED, Fate.REFUSED, Fate.LOST, Fate.TIMED_OUT)]
        cycle = await house.ended(*steps)
        return ref(cycle), await events(cycle)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
async def test_no_change_of_a_history_makes_its_reader_fail_or_tell_of_other_runs(
    told: tuple[RunRef, list[HistoryEvent]], data: st.DataObject
) -> None:
    run, good = told
    history = History(events=good)
    for _ in range(data.draw(st.integers(1, 3))):
        change = data.draw(st.sampled_from([field_is_changed, json_is_changed, event_goes, event_comes_again]))
        if history.events:
            change(history, data)
    try:
        calls = await calls_in(list(history.events), run, pydantic_data_converter)
    except HistoryUnreadable:
        return
    assert all(isinstance(call, Record) and call.run_id == run.run_id for call in calls)
    assert [call.seq for call in calls] == list(range(1, len(calls) + 1))


async def test_a_history_that_lacks_any_one_event_is_unreadable(told: tuple[RunRef, list[HistoryEvent]]) -> None:
    run, good = told
    assert len(await calls_in(good, run, pydantic_data_converter)) == 3
    for missing in range(len(good)):
        with pytest.raises(HistoryUnreadable):
            await calls_in(good[:missing] + good[missing + 1 :], run, pydantic_data_converter)


async def test_who_spends_from_an_envelope_that_only_another_run_asked_for_is_unreadable(
    told: tuple[RunRef, list[HistoryEvent]],
) -> None:
    run, good = told
    history = History(events=good)
    opening = next(event for event in history.events if event.HasField(OPENING))
    payload = opening.signal_external_workflow_execution_initiated_event_attributes.input.payloads[0]
    payload.data = payload.data.replace(run.run_id.encode(), b"another-run")
    with pytest.raises(HistoryUnreadable):
        await calls_in(list(history.events), run, pydantic_data_converter)


async def test_an_opening_that_was_sent_again_is_one_opening(told: tuple[RunRef, list[HistoryEvent]]) -> None:
    run, good = told
    history = History(events=good)
    opening = next(event for event in history.events if event.HasField(OPENING))
    history.events.insert(len(good) - 1, opening)
    history.events[-2].event_id, history.events[-1].event_id = len(good), len(good) + 1
    assert await calls_in(list(history.events), run, pydantic_data_converter) == await calls_in(
        good, run, pydantic_data_converter
    )


async def test_a_call_counts_from_the_day_on_which_its_ceiling_was_taken(
    told: tuple[RunRef, list[HistoryEvent]],
) -> None:
    """The workflow's clock may still show the day before, when the server schedules the call."""
    run, good = told
    history = History(events=good)
    asked = next(
        event.event_id for event in history.events if event.HasField("activity_task_scheduled_event_attributes")
    )
    for event in history.events:
        noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
        event.event_time.FromDatetime(noon if event.event_id >= asked else noon.replace(hour=0))
    calls = await calls_in(list(history.events), run, pydantic_data_converter)
    days = (date(2026, 1, 1), date(2026, 1, 2))
    assert [call.days for call in calls] == [days, days[1:], days[1:]]


def field_is_changed(history: History, data: st.DataObject) -> None:
    """One field of one event says something else, or nothing."""
    event = data.draw(st.sampled_from(list(history.events)))
    message, field = data.draw(st.sampled_from(list(fields(event))))
    if data.draw(st.booleans()):
        message.ClearField(field.name)
    else:
        setattr(message, field.name, data.draw(BY_TYPE.get(field.type, st.nothing())))


def json_is_changed(history: History, data: st.DataObject) -> None:
    """One value inside a payload says something else."""
    payload = data.draw(st.sampled_from(list(payloads(history)) or [Payload(data=b"{}")]))
    try:
        whole = json.loads(payload.data)
    except ValueError:
        return
    inside = whole
    while isinstance(inside, dict) and inside:
        key = data.draw(st.sampled_from(sorted(inside)))
        if not isinstance(inside[key], dict) or data.draw(st.booleans()):
            inside[key] = data.draw(JSON)
            break
        inside = inside[key]
    payload.data = json.dumps(whole).encode()


def event_goes(history: History, data: st.DataObject) -> None:
    """One event is missing; the others may be numbered as if it had not been."""
    del history.events[data.draw(st.integers(0, len(history.events) - 1))]
    number_anew(history, data)


def event_comes_again(history: History, data: st.DataObject) -> None:
    """One event stands a second time, at some other place."""
    again = data.draw(st.sampled_from(list(history.events)))
    history.events.insert(data.draw(st.integers(0, len(history.events))), again)
    number_anew(history, data)


def number_anew(history: History, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        for number, event in enumerate(history.events, 1):
            event.event_id = number


def fields(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    """Every single value inside."""
    for field, _ in message.ListFields():
        if not field.is_repeated and field.type != FieldDescriptor.TYPE_MESSAGE:
            yield message, field
    for inner in messages(message):
        yield from fields(inner)


def payloads(message: Message) -> Iterator[Payload]:
    """Every payload inside."""
    for inner in messages(message):
        if isinstance(inner, Payload):
            yield inner
        else:
            yield from payloads(inner)


def messages(message: Message) -> Iterator[Message]:
    """Those directly inside, but for maps."""
    for field, value in message.ListFields():
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            yield from value if field.is_repeated else [value]
