"""What the sweep records of a cycle that was ended from outside: all that its history tells, whatever it looks like."""

import copy
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.ended_cycles import record_of
from domain.cycle import MAX_REASON, AdmissionState, CycleStatus, Outcome, Phase
from domain.errors import ErrorCode
from domain.ledger import RunRef
from domain.turns import DesignTurn
from engine.handover import TrainWork
from engine.interface import Operation, Progress

HISTORIES = Path(__file__).parent.parent / "workflows" / "histories"
AFTER = {
    "design": (Phase.DESIGNING, "strategy"),
    "train": (Phase.TRAINING, "training"),
    "backtest": (Phase.BACKTESTING, "backtest"),
    "assess": (Phase.ASSESSING, "assessment"),
}


@cache
def history(name: str) -> tuple[HistoryEvent, ...]:
    return tuple(WorkflowHistory.from_json("cycle-a", (HISTORIES / f"{name}.json").read_text()).events)


def run_of(events: tuple[HistoryEvent, ...]) -> RunRef:
    started = events[0].workflow_execution_started_event_attributes
    return RunRef(cycle_id="cycle-a", run_id=started.original_execution_run_id)


def place(events: tuple[HistoryEvent, ...], activity: str) -> tuple[int, int]:
    """Up to and with this event an activity is asked for, and up to this one it is completed."""
    asked = next(
        event.event_id
        for event in events
        if event.activity_task_scheduled_event_attributes.activity_type.name == activity
    )
    done = next(
        event.event_id for event in events if event.activity_task_completed_event_attributes.scheduled_event_id == asked
    )
    return asked, done


def cut(events: tuple[HistoryEvent, ...], at: int, reason: str = "enough") -> list[HistoryEvent]:
    """The first events, and then the end by somebody's hand."""
    end = HistoryEvent(event_id=at + 1, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED)
    end.event_time.CopyFrom(events[at - 1].event_time)
    end.workflow_execution_terminated_event_attributes.reason = reason
    return [*events[:at], end]


async def recorded(events: list[HistoryEvent], run: RunRef) -> CycleStatus | None:
    return await record_of(events, run, pydantic_data_converter)


@pytest.mark.parametrize("activity", AFTER)
async def test_what_an_activity_found_is_in_the_record_as_soon_as_it_is_in_the_history(activity: str) -> None:
    events = history("designed")
    asked, done = place(events, activity)
    phase, found = AFTER[activity]
    before, after = [await recorded(cut(events, at), run_of(events)) for at in (asked, done)]
    assert before
    assert after
    assert before.stopped_in is after.stopped_in is phase
    assert getattr(before, found) is None
    assert getattr(after, found) is not None
    assert (after.outcome, after.reason, after.phase) == (Outcome.CANCELLED, "terminated: enough", Phase.DONE)
    assert after.admission.state is AdmissionState.GRANTED
    assert after.timings[-1].phase is phase
    assert after.timings[-1].ended_at == after.ended_at


async def test_a_cycle_that_waited_to_record_itself_is_recorded_as_it_would_have_been() -> None:
    """By the activity that it asked for when the store had not been there at once."""
    events = history("recorded_late")
    own = next(
        event.activity_task_scheduled_event_attributes.input
        for event in events
        if event.activity_task_scheduled_event_attributes.activity_type.name == "record"
    )
    [status] = await pydantic_data_converter.decode(own.payloads, [CycleStatus])
    run = RunRef(cycle_id=status.cycle_id, run_id=status.run_id)
    assert await recorded(cut(events, place(events, "record")[0]), run) == status
    assert status.outcome is Outcome.COMPLETED


async def test_a_cycle_that_ended_by_itself_has_recorded_itself() -> None:
    events = history("completed")
    assert await recorded(list(events), run_of(events)) is None


async def test_a_cycle_that_lived_too_long_failed_and_the_record_says_of_what() -> None:
    events = history("designed")
    ended = cut(events, place(events, "train")[0])
    ended[-1].workflow_execution_timed_out_event_attributes.SetInParent()
    status = await recorded(ended, run_of(events))
    assert status
    assert status.failure
    assert (status.outcome, status.stopped_in, status.failure.code) == (
        Outcome.FAILED,
        Phase.TRAINING,
        ErrorCode.INTERNAL_ERROR,
    )
    for words in ("the server ended the cycle after", "longer than a cycle may", "start the cycle again"):
        assert words in status.failure.message


LEFT = Progress(fraction=0.4, step="epoch 2 of 3", operation=Operation(id="op-7"))


def _failed(number: int, told: Sequence[Payload]) -> HistoryEvent:
    event = HistoryEvent()
    failed = event.activity_task_failed_event_attributes
    failed.scheduled_event_id = number
    failed.failure.application_failure_info.details.payloads.extend(told)
    return event


def _silent(number: int, told: Sequence[Payload]) -> HistoryEvent:
    event = HistoryEvent()
    silent = event.activity_task_timed_out_event_attributes
    silent.scheduled_event_id = number
    silent.failure.timeout_failure_info.last_heartbeat_details.payloads.extend(told)
    return event


def _withdrawn(number: int) -> tuple[HistoryEvent, HistoryEvent]:
    asked, done = HistoryEvent(event_id=number), HistoryEvent()
    asked.activity_task_scheduled_event_attributes.activity_type.name = "withdraw"
    done.activity_task_completed_event_attributes.scheduled_event_id = number
    return asked, done


@pytest.mark.parametrize(
    ("how", "left"),
    {
        "handed_over": True,
        "failed": True,
        "silent": True,
        "failed_again_without_a_word": True,
        "withdrawn": False,
        "done": False,
    }.items(),
)
async def test_the_record_of_a_terminated_cycle_names_the_operation_that_nobody_ends_any_more(
    how: str, left: bool
) -> None:
    events = copy.deepcopy(history("designed"))
    number, done = place(events, "train")
    asked = events[number - 1].activity_task_scheduled_event_attributes
    told = await pydantic_data_converter.encode([LEFT])
    later: list[HistoryEvent] = []
    match how:
        case "handed_over" | "done":
            [work] = await pydantic_data_converter.decode(asked.input.payloads, [TrainWork])
            asked.input.payloads[0].CopyFrom((await pydantic_data_converter.encode([work.after([LEFT])]))[0])
            later = list(events[number:done]) if how == "done" else []
        case "failed" | "silent":
            later = [_failed(number, told) if how == "failed" else _silent(number, told)]
        case "failed_again_without_a_word":
            later = [_failed(number, told), _failed(number, ())]
        case "withdrawn":
            later = [_failed(number, told), *_withdrawn(number + 2)]
    status = await recorded([*events[:number], *later, cut(events, number)[-1]], run_of(events))
    assert status
    there = ". Operation op-7 may still run at the service: end it there."
    assert status.reason == "terminated: enough" + (there if left else "")


async def test_what_was_spent_is_what_its_calls_used() -> None:
    events = history("topped_up")
    [turn] = await pydantic_data_converter.decode(
        next(
            event.activity_task_scheduled_event_attributes.input
            for event in events
            if event.activity_task_scheduled_event_attributes.activity_type.name == "design"
        ).payloads,
        [DesignTurn],
    )
    run = RunRef(cycle_id="cycle-a", run_id=turn.granted_run_id)
    asked, done = place(events, "design")
    in_flight, answered = [await recorded(cut(events, at), run) for at in (asked, done)]
    assert in_flight
    assert answered
    assert in_flight.tokens == turn.ceiling_tokens
    assert 0 < answered.tokens < in_flight.tokens
    assert answered.cost_usd > 0


async def test_the_reason_of_a_termination_is_bounded_and_one_without_says_so() -> None:
    events = history("designed")
    long, none = [await recorded(cut(events, 10, reason), run_of(events)) for reason in ("x" * 10_000, "")]
    assert long
    assert none
    assert long.reason == f"terminated: {'x' * MAX_REASON}"
    assert none.reason == "terminated: no reason given"


async def test_a_history_that_makes_no_sense_is_recorded_with_what_does_or_not_at_all() -> None:
    chance, events = Random(3), history("designed")
    run, kept = run_of(events), 0
    for _ in range(150):
        changed = copy.deepcopy(cut(events, chance.randrange(1, len(events))))
        for _ in range(chance.randrange(1, 4)):
            _spoil(changed, chance)
        status = await recorded(changed, run)
        if status is not None:
            kept += 1
            assert status.outcome is not None
            assert CycleStatus.model_validate_json(status.model_dump_json()) == status
    assert 0 < kept < 150


def _spoil(events: list[HistoryEvent], chance: Random) -> None:
    """Another payload, an event less, two that have changed places, or an event of nothing."""
    nth = chance.randrange(len(events))
    match chance.randrange(4):
        case 0:
            attributes = getattr(events[nth], events[nth].WhichOneof("attributes") or "", None)
            for name in ("input", "result"):
                for payload in getattr(getattr(attributes, name, None), "payloads", ()):
                    payload.data = chance.choice([b"", b"null", b"\xff", b'{"request": 1}', payload.data[:50]])
        case 1 if len(events) > 1:
            del events[nth]
        case 2:
            other = chance.randrange(len(events))
            events[nth], events[other] = events[other], events[nth]
        case _:
            events[nth] = HistoryEvent(event_id=events[nth].event_id)
