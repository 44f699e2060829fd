"""What a cycle and its model said to each other, read from the cycle's history; nothing else keeps it."""

from collections.abc import Sequence
from typing import Any

from temporalio.api.common.v1 import Payloads
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from client.audit_payloads import Loose, parsed
from client.exits import CommandError, ExitCode
from domain.cycle import CallUsage
from domain.results import Frozen
from domain.turns import Message

MOST_EVENTS = 20_000
PHASES = ("design", "assess")


class Turn(Frozen):
    """One attempt at a turn: what it added to the conversation, and what was billed for it; or how it failed."""

    phase: str
    turn: int
    usage: CallUsage | None = None
    messages: tuple[Message, ...] = ()
    failure: str | None = None


class Transcript(Frozen):
    """All attempts, in the order in which they were begun. One without an answer or failure is under way."""

    cycle_id: str
    turns: tuple[Turn, ...]


class _Asked(Loose):
    turn: int


class _Answered(Loose):
    usage: CallUsage | None = None
    messages: tuple[Message, ...] = ()
    ended: dict[str, Any] | None = None


async def transcript_of(client: Client, cycle_id: str) -> Transcript:
    """The conversation of the cycle's latest run, as its history has it.

    Errors: a cycle whose history the server does not have (any more), or that is not one of a cycle's.
    """
    events: list[HistoryEvent] = []
    try:
        async for event in client.get_workflow_handle(cycle_id).fetch_history_events():
            events.append(event)
            if len(events) > MOST_EVENTS:
                raise _unreadable(cycle_id, f"it has more than {MOST_EVENTS:,} events")
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        raise CommandError(
            ExitCode.FAILED,
            "no_transcript",
            f"the server has no history of {cycle_id} (any more), and a conversation is kept nowhere else",
            "`research list` shows the cycles that it has",
        ) from error
    try:
        return Transcript(cycle_id=cycle_id, turns=turns_in(events))
    except ValueError as error:
        raise _unreadable(cycle_id, str(error)[:200]) from error


def turns_in(events: Sequence[HistoryEvent]) -> tuple[Turn, ...]:
    """The attempts that a history tells of. Raises ValueError where it is not one of a cycle's."""
    turns: dict[int, Turn] = {}
    for event in events:
        asked = event.activity_task_scheduled_event_attributes
        if asked.activity_type.name in PHASES:
            number = parsed(_Asked, asked.input).turn
            turns[event.event_id] = Turn(phase=asked.activity_type.name, turn=number)
        done = event.activity_task_completed_event_attributes
        if done.scheduled_event_id in turns:
            turns[done.scheduled_event_id] = _answered(turns[done.scheduled_event_id], done.result)
        failed = event.activity_task_failed_event_attributes
        if failed.scheduled_event_id in turns:
            told = failed.failure.application_failure_info.type or "failed"
            _fails(turns, failed.scheduled_event_id, f"{told}: {failed.failure.message}")
        _fails(turns, event.activity_task_timed_out_event_attributes.scheduled_event_id, "never heard of again")
        _fails(turns, event.activity_task_canceled_event_attributes.scheduled_event_id, "cancelled")
    return tuple(turns.values())


def _answered(turn: Turn, result: Payloads) -> Turn:
    told = parsed(_Answered, result)
    failure = f"{told.ended.get('code')}: {told.ended.get('message')}" if told.ended else None
    return turn.model_copy(update={"usage": told.usage, "messages": told.messages, "failure": failure})


def _fails(turns: dict[int, Turn], number: int, why: str) -> None:
    if number in turns:
        turns[number] = turns[number].model_copy(update={"failure": why})


def _unreadable(cycle_id: str, why: str) -> CommandError:
    return CommandError(
        ExitCode.FAILED,
        "no_transcript",
        f"the history of {cycle_id} is not one that a cycle of this program has: {why}",
        "see that client and worker are of the same version",
    )
