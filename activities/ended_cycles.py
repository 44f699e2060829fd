"""The record of a cycle that could write none: it was terminated, or lived longer than the server lets it.

Nothing can run inside such a cycle any more. The ledger's sweep finds it ended, and its history still tells what it was
asked, how far it came and what it found. A history is somebody else's data: a part that doesn't decode is left out, and
where the request itself can't be read there is no record.
"""

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel
from temporalio.api.common.v1 import Payloads
from temporalio.api.history.v1 import HistoryEvent
from temporalio.converter import DataConverter

from activities.ended_runs import HistoryReader, HistoryUnreadable, event_time, what_breaks_is_unreadable
from domain.cycle import (
    MAX_REASON,
    Admission,
    AdmissionState,
    CycleRequest,
    CycleStatus,
    Failure,
    Outcome,
    Phase,
    PhaseTiming,
)
from domain.errors import ErrorCode
from domain.gates import backtest_gate, training_gate
from domain.ledger import RunRef
from domain.results import BacktestResult, TrainingResult
from domain.trace import HEADER, Trace
from domain.turns import AssessAnswer, DesignAnswer
from engine.interface import Operation, Progress

WORK = ("train", "backtest")
"""The activities whose work a service may do, which nobody ends for a cycle that can do nothing any more."""

T = TypeVar("T", bound=BaseModel)

log = logging.getLogger(__name__)


class _Input(BaseModel):
    """Of a cycle's input: what was asked."""

    request: CycleRequest


async def record_of(events: Sequence[HistoryEvent], run: RunRef, converter: DataConverter) -> CycleStatus | None:
    """What there is to be recorded of a run whose whole history this is, and which was ended from outside.

    A run that was about to record itself is recorded as it would have been. None where nothing is known, or where the
    run ended in another way, and so has recorded itself. Raises nothing, whatever the events are.
    """
    story = _Story(events, run, converter)
    try:
        with what_breaks_is_unreadable():
            return await story.told()
    except HistoryUnreadable as error:
        log.warning("cycle %s (run %s) can't be recorded: %s", run.cycle_id, run.run_id, error)
        return None


class _Word(BaseModel):
    """Of what an attempt at such work is given, or tells last: what runs for it at a service."""

    handed_over: Progress | None = None
    operation: Operation | None = None


class _Story:
    """A history, read from its first event to its last."""

    def __init__(self, events: Sequence[HistoryEvent], run: RunRef, converter: DataConverter) -> None:
        self._events = events
        self._run = run
        self._reader = HistoryReader(events, run, converter)
        self._asked: dict[int, str] = {}
        self._timings: list[PhaseTiming] = []
        self._found: dict[str, object] = {}
        self._own_record: CycleStatus | None = None
        self._left: Operation | None = None

    async def told(self) -> CycleStatus | None:
        """The record. Raises whatever breaks in what every record needs."""
        last, ended_at = self._events[-1], event_time(self._events[-1])
        request = (await self._reader.started(_Input)).request
        for event in self._events:
            await self._read(event)
        phase = self._timings[-1].phase if self._timings else Phase.QUEUED
        how = _how(last, phase, event_time(self._events[0]), self._left)
        if how is None or self._own_record is not None:
            return self._own_record if how else None
        if phase is not Phase.QUEUED:
            self._found.setdefault("strategy", request.strategy)
        training, backtest = self._found.get("training"), self._found.get("backtest")
        gates = [training_gate(training, request.thresholds)] if isinstance(training, TrainingResult) else []
        gates += [backtest_gate(backtest, request.thresholds)] if isinstance(backtest, BacktestResult) else []
        fields: dict[str, object] = {
            "cycle_id": self._run.cycle_id,
            "run_id": self._run.run_id,
            "request": request,
            "trace": _trace(self._events[0]),
            "phase": Phase.DONE,
            "stopped_in": phase,
            "gates": tuple(gates),
            "timings": _ended(self._timings, ended_at),
            "started_at": event_time(self._events[0]),
            "ended_at": ended_at,
        }
        return CycleStatus.model_validate(fields | self._found | how | await self._spent(ended_at))

    async def _spent(self, ended_at: datetime) -> dict[str, object]:
        """Tokens and their cost, as far as its calls can be read."""
        with suppress(HistoryUnreadable), what_breaks_is_unreadable():
            spending = await self._reader.spent()
            spending.end(ended_at)
            return spending.sums
        return {}

    async def _read(self, event: HistoryEvent) -> None:
        await self._follow(event)
        match event.WhichOneof("attributes"):
            case "upsert_workflow_search_attributes_event_attributes":
                found = event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
                if "Phase" in found:
                    self._enter(found["Phase"].data, event_time(event))
            case "workflow_execution_signaled_event_attributes":
                signal = event.workflow_execution_signaled_event_attributes.signal_name
                if signal in set(AdmissionState):
                    self._found["admission"] = Admission(state=AdmissionState(signal))
            case "activity_task_scheduled_event_attributes":
                asked = event.activity_task_scheduled_event_attributes
                self._asked[event.event_id] = asked.activity_type.name
                if asked.activity_type.name == "record":
                    own = await self._value(asked.input, CycleStatus)
                    if own and own.outcome and (own.cycle_id, own.run_id) == (self._run.cycle_id, self._run.run_id):
                        self._own_record = own
            case "activity_task_completed_event_attributes":
                done = event.activity_task_completed_event_attributes
                await self._keep(self._asked.get(done.scheduled_event_id, ""), done.result)

    async def _follow(self, event: HistoryEvent) -> None:
        """What is left at a service: as the last attempt was told of it, or told itself, until it has ended."""
        match event.WhichOneof("attributes"):
            case "activity_task_scheduled_event_attributes":
                asked = event.activity_task_scheduled_event_attributes
                activity, said = asked.activity_type.name, asked.input
            case "activity_task_failed_event_attributes":
                failed = event.activity_task_failed_event_attributes
                activity = self._asked.get(failed.scheduled_event_id, "")
                said = failed.failure.application_failure_info.details
            case "activity_task_timed_out_event_attributes":
                silent = event.activity_task_timed_out_event_attributes
                activity = self._asked.get(silent.scheduled_event_id, "")
                said = silent.failure.timeout_failure_info.last_heartbeat_details
            case "activity_task_completed_event_attributes":
                done = event.activity_task_completed_event_attributes
                if self._asked.get(done.scheduled_event_id) in (*WORK, "withdraw"):
                    self._left = None
                return
            case _:
                return
        if activity in WORK and said.payloads and (word := await self._value(said, _Word)):
            self._left = word.operation or (word.handed_over.operation if word.handed_over else None) or self._left

    def _enter(self, word: bytes, at: datetime) -> None:
        with suppress(ValueError):
            phase = Phase(json.loads(word))
            if phase is not Phase.DONE:
                self._timings = [*_ended(self._timings, at), PhaseTiming(phase=phase, started_at=at)]

    async def _keep(self, activity: str, result: Payloads) -> None:
        match activity:
            case "design":
                if (design := await self._value(result, DesignAnswer)) and design.strategy:
                    self._found |= {
                        "strategy": design.strategy,
                        "hypothesis": design.hypothesis,
                        "memory_snapshot": design.memory_snapshot,
                    }
            case "train":
                if training := await self._value(result, TrainingResult):
                    self._found["training"] = training
            case "backtest":
                if backtest := await self._value(result, BacktestResult):
                    self._found["backtest"] = backtest
            case "assess":
                if (assess := await self._value(result, AssessAnswer)) and assess.assessment:
                    self._found["assessment"] = assess.assessment

    async def _value(self, payloads: Payloads, of: type[T]) -> T | None:
        try:
            with what_breaks_is_unreadable():
                return await self._reader.value(payloads, of)
        except HistoryUnreadable as error:
            log.warning("cycle %s is recorded without a %s: %s", self._run.cycle_id, of.__name__, error)
            return None


def _how(last: HistoryEvent, phase: Phase, started_at: datetime, left: Operation | None) -> dict[str, object] | None:
    """Outcome, reason and failure by a history's last event; None where the cycle was not ended from outside."""
    there = f" Operation {left.id} may still run at the service: end it there." if left else ""
    match last.WhichOneof("attributes"):
        case "workflow_execution_terminated_event_attributes":
            given = last.workflow_execution_terminated_event_attributes.reason[:MAX_REASON]
            said = f"terminated: {given or 'no reason given'}"
            return {"outcome": Outcome.CANCELLED, "reason": f"{said}.{there}" if there else said}
        case "workflow_execution_timed_out_event_attributes":
            lived = (event_time(last) - started_at).total_seconds()
            message = (
                f"the server ended the cycle after {lived:,.0f} s, since it lived longer than a cycle may. What it had "
                "found by then is kept. See that a worker runs (`research worker`) and start the cycle again; "
                f"RESEARCH_POLICIES__LIFE lets cycles live longer{'.' + there if there else ''}"
            )
            failure = Failure(phase=phase, code=ErrorCode.INTERNAL_ERROR, message=message)
            return {"outcome": Outcome.FAILED, "reason": message, "failure": failure}
    return None


def _ended(timings: Sequence[PhaseTiming], at: datetime) -> tuple[PhaseTiming, ...]:
    """The same with the last phase ended."""
    if not timings:
        return ()
    return (*timings[:-1], timings[-1].model_copy(update={"ended_at": at}))


def _trace(first: HistoryEvent) -> Trace:
    started = first.workflow_execution_started_event_attributes
    header = started.header.fields
    return Trace.of(started.original_execution_run_id, header[HEADER].data if HEADER in header else None)
