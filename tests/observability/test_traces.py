"""Traces, as a real OTLP receiver gets them: one connected tree a cycle, with true times, however it ends and whoever
dies.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.cycle import CycleStatus, Outcome
from domain.gates import GateThresholds
from domain.results import TrainingResult
from engine.interface import Progress, Report, TrainJob
from observability import names
from tests.claude.fake_api import MODEL, Asked, Refuses, Says
from tests.claude.house import Cycle, usual
from tests.metered.engine import InstantEngine
from tests.metered.house import OPEN_GATES
from tests.workflows.test_reset import reset

from .conftest import Watched, until, watched_house
from .otlp_receiver import ReceivedSpan, Receiver

WORK = 2.0
"""Seconds that a training takes whose duration is looked at."""

DESIGN, TRAINING, BACKTEST, ASSESS = names.PHASE_SPANS.values()
CHAT = f"chat {MODEL}"


@dataclass(frozen=True)
class SlowEngine(InstantEngine):
    """Whose trainings take their time."""

    seconds: float = WORK

    async def train(self, job: TrainJob, report: Report, earlier: Progress | None = None) -> TrainingResult:
        await asyncio.sleep(self.seconds)
        return await InstantEngine.train(self, job, report, earlier)


@pytest.fixture
async def watched(temporal_env: WorkflowEnvironment, tmp_path: Path, receiver: Receiver) -> AsyncIterator[Watched]:
    async with watched_house(temporal_env, tmp_path, receiver) as watched:
        yield watched


def tree(spans: list[ReceivedSpan]) -> list[tuple[str, str]]:
    """Each span's name with its parent's. One whose parent never came is told as an orphan."""
    by_id = {span.span_id: span.name for span in spans}
    return [(span.name, by_id.get(span.parent_id, "orphan") if span.parent_id else "") for span in spans]


def only(spans: list[ReceivedSpan], name: str) -> ReceivedSpan:
    [span] = [span for span in spans if span.name == name]
    return span


ACTIVITIES = {
    "design": DESIGN,
    "train": TRAINING,
    "count_trials": BACKTEST,
    "backtest": BACKTEST,
    "assess": ASSESS,
}
"""The activities of which a phase consists, by their names, with the phase's span."""

ENDS = tuple(f"activity_task_{how}_event_attributes" for how in ("completed", "failed", "timed_out", "canceled"))

TASKS = 1.0
"""Seconds that a server under load may take from an event to the workflow's task that hears of it."""


async def times_are_true(cycle: Cycle, spans: list[ReceivedSpan], reached: int = len(names.PHASE_SPANS)) -> None:
    """Each phase begins with the workflow's task that asks for the first of its activities, and ends with the one that
    hears of their end, tried again or cancelled or not: so it lasts as long as these did by the server's word, within
    5 % where they took longer than such tasks do. reached: how many phases there were.
    """
    scheduled: dict[int, str] = {}
    begun: dict[str, tuple[float, float]] = {}  # the task's time and the first activity's
    ended: dict[str, tuple[float, float]] = {}  # the last activity's time and the task's
    unheard: dict[str, float] = {}
    task = 0.0
    async for event in cycle.fetch_history_events():
        at = event.event_time.ToNanoseconds() / 1e9
        told = event.WhichOneof("attributes")
        if told == "workflow_task_started_event_attributes":
            task = at
            ended |= {phase: (end, task) for phase, end in unheard.items()}
            unheard = {}
        elif told == "activity_task_scheduled_event_attributes":
            name = event.activity_task_scheduled_event_attributes.activity_type.name
            scheduled[event.event_id] = name
            if phase := ACTIVITIES.get(name):
                begun.setdefault(phase, (task, at))
        elif told in ENDS and (phase := ACTIVITIES.get(scheduled[getattr(event, told).scheduled_event_id])):
            unheard[phase] = at
    assert len(begun) == len(ended) == reached
    for phase, (first_task, first) in begun.items():
        span, (last, last_task) = only(spans, phase), ended[phase]
        assert (span.start, span.end) == pytest.approx((first_task, last_task), abs=0.002), phase
        assert last - first <= span.seconds <= 1.05 * (last - first) + 2 * TASKS, phase


async def test_a_completed_cycle_is_one_tree_from_its_start_to_each_call_with_true_times(watched: Watched) -> None:
    traces = watched.observer.tracing
    assert traces
    async with watched.house.working(SlowEngine(), observer=watched.observer):
        with traces.starting():
            cycle = await watched.house.start()
        status = await watched.ended(cycle)
        spans = await watched.trace_of(status)
    counted = ("anthropic.messages.count_tokens", DESIGN), ("anthropic.messages.count_tokens", ASSESS)
    assert Counter(each for each in tree(spans) if each not in counted) == {
        (names.START_SPAN, ""): 1,
        (names.CYCLE_SPAN, names.START_SPAN): 1,
        (DESIGN, names.CYCLE_SPAN): 1,
        (CHAT, DESIGN): 3,
        (TRAINING, names.CYCLE_SPAN): 1,
        (BACKTEST, names.CYCLE_SPAN): 1,
        (ASSESS, names.CYCLE_SPAN): 1,
        (CHAT, ASSESS): 2,
    }
    assert only(spans, TRAINING).seconds == pytest.approx(WORK, abs=TASKS)
    await times_are_true(cycle, spans)
    whole = only(spans, names.CYCLE_SPAN)
    phases = [span for span in spans if span.parent_id == whole.span_id]
    assert all(whole.start <= span.start <= span.end <= whole.end for span in phases)
    assert all(
        only(spans, DESIGN).start <= span.start <= span.end <= only(spans, DESIGN).end
        for span in spans
        if span.parent_id == only(spans, DESIGN).span_id
    )
    assert {span.service for span in spans} == {names.SERVICE}


async def test_its_spans_tell_what_the_record_has(watched: Watched) -> None:
    async with watched.house.working(observer=watched.observer):
        status = await watched.ended(await watched.house.start())
        spans = await watched.trace_of(status)
    assert status.training
    assert status.backtest
    assert status.assessment
    assert status.strategy
    told = only(spans, names.CYCLE_SPAN).attributes
    assert told == {
        "operation.id": status.cycle_id,
        "outcome": "completed",
        "gate.training.passed": True,
        "gate.backtest.passed": True,
    }
    assert only(spans, DESIGN).attributes == {
        "phase": "designing",
        "strategy.name": status.strategy.name,
        "tokens.input": status.usage["design"].prompt,
        "tokens.output": status.usage["design"].output,
    }
    assert only(spans, TRAINING).attributes == {
        "phase": "training",
        "training.accuracy": status.training.validation_accuracy,
        "training.final_loss": status.training.validation_loss.final,
    }
    assert only(spans, BACKTEST).attributes == {
        "phase": "backtesting",
        "backtest.win_rate": status.backtest.win_rate,
        "backtest.sharpe": status.backtest.sharpe_ratio,
    }
    assert only(spans, ASSESS).attributes["assessment.verdict"] == status.assessment.verdict.value
    calls = [span for span in spans if span.name == CHAT]
    bills = [bill.usage for bill in watched.house.api.bills]
    assert [
        (
            span.attributes["gen_ai.usage.input_tokens"],
            span.attributes["gen_ai.usage.cache_write.input_tokens"],
            span.attributes["gen_ai.usage.cache_read.input_tokens"],
            span.attributes["gen_ai.usage.output_tokens"],
        )
        for span in calls
    ] == [(bill.prompt, bill.cache_write, bill.cache_read, bill.output) for bill in bills]
    said = str([span.attributes for span in spans])
    assert "So be it." not in said
    assert "sk-test" not in said


NEVER = {"training": {"training_min_skill": 1.0}, "backtest": {"backtest_min_sharpe": 1000.0}}


@pytest.mark.parametrize("gate", NEVER)
async def test_a_rejected_cycle_names_its_gate_and_reason_and_is_no_error(watched: Watched, gate: str) -> None:
    thresholds = GateThresholds.model_validate({**OPEN_GATES.model_dump(), **NEVER[gate]})
    async with watched.house.working(observer=watched.observer):
        cycle = await watched.house.start(thresholds=thresholds)
        status = await watched.ended(cycle)
        spans = await watched.trace_of(status)
    whole = only(spans, names.CYCLE_SPAN)
    assert (whole.attributes["outcome"], whole.attributes[f"gate.{gate}.passed"]) == ("rejected", False)
    assert str(whole.attributes[f"gate.{gate}.reason"]) in str(status.reason)
    assert whole.error is None
    reached = [DESIGN, TRAINING] if gate == "training" else [DESIGN, TRAINING, BACKTEST]
    assert [span.name for span in spans if span.parent_id == whole.span_id] == reached
    await times_are_true(cycle, spans, len(reached))
    assert all(parent != "orphan" for _, parent in tree(spans))


async def test_a_failed_cycle_has_its_error_on_the_cycle_the_phase_and_the_attempt(watched: Watched) -> None:
    async def script(asked: Asked) -> Says | Refuses:
        if asked.nth == 1:
            return Refuses(529, "overloaded_error", headers=(("retry-after-ms", "5"),))
        return Refuses(402, "billing_error", "the account has no money")

    watched.house.api.script = script
    async with watched.house.working(observer=watched.observer):
        cycle = await watched.house.start()
        status = await watched.ended(cycle)
        spans = await watched.trace_of(status)
    await times_are_true(cycle, spans, 1)
    whole, design = only(spans, names.CYCLE_SPAN), only(spans, DESIGN)
    assert whole.attributes["outcome"] == "failed"
    for span in (whole, design):
        assert span.attributes["error.type"] == "anthropic_spend_limit"
        assert "the account has no money" in str(span.error)
        assert span.events == ("exception",)
    attempts = [span for span in spans if span.name == names.ATTEMPT_SPAN]
    assert [(span.attributes["attempt"], span.attributes["error.type"]) for span in attempts] == [
        (1, "anthropic_error"),
        (2, "anthropic_spend_limit"),
    ]
    assert {span.parent_id for span in attempts} == {design.span_id}


async def test_a_cancelled_cycle_says_so_and_is_no_error(watched: Watched) -> None:
    async with watched.house.working(SlowEngine(seconds=3600), observer=watched.observer):
        cycle = await watched.house.start()
        await watched.house.until(cycle, lambda status: status.phase == "training")
        await cycle.cancel()
        status = await watched.ended(cycle)
        spans = await watched.trace_of(status)
    whole = only(spans, names.CYCLE_SPAN)
    assert (whole.attributes["outcome"], whole.error) == ("cancelled", None)
    await times_are_true(cycle, spans, 2)
    assert [span.name for span in spans if span.parent_id == whole.span_id] == [DESIGN, TRAINING]


async def test_a_terminated_cycle_has_its_tree_too(watched: Watched) -> None:
    async with watched.house.working(SlowEngine(seconds=3600), observer=watched.observer):
        cycle = await watched.house.start(settings={})
        await watched.house.until(cycle, lambda status: status.phase == "training")
        before = await watched.house.status(cycle)
        await cycle.terminate("as by a person")
        await watched.house.start()  # whose opening has the ledger look for places
        spans = await watched.trace_of(before)
    whole = only(spans, names.CYCLE_SPAN)
    assert [span.name for span in spans if span.parent_id == whole.span_id] == [DESIGN, TRAINING]
    assert all(parent != "orphan" for _, parent in tree(spans))


@dataclass(frozen=True)
class HeldEngine(InstantEngine):
    """Whose trainings wait until they are let go."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def train(self, job: TrainJob, report: Report, earlier: Progress | None = None) -> TrainingResult:
        self.begun.set()
        await self.go.wait()
        return await InstantEngine.train(self, job, report, earlier)


async def test_a_cycle_that_was_reset_is_one_tree_with_what_its_earlier_run_did(watched: Watched) -> None:
    engine = HeldEngine()
    async with watched.house.working(engine, observer=watched.observer):
        cycle = await watched.house.start()
        await asyncio.wait_for(engine.begun.wait(), 60)
        _, again = await reset(watched.house.client, cycle, "train")
        engine.go.set()
        status = await watched.ended(again)
        spans = await watched.trace_of(status)
    assert status.outcome is Outcome.COMPLETED
    found = Counter(tree(spans))
    assert (found[names.CYCLE_SPAN, ""], found[DESIGN, names.CYCLE_SPAN], found[CHAT, DESIGN]) == (1, 1, 3)
    # It was in training twice, with a wait for an envelope of its own between.
    assert [timing.phase for timing in status.timings if timing.phase == "training"] == ["training", "training"]
    times = sorted((span.start, span.end) for span in spans if span.name == TRAINING)
    assert len(times) == 2
    assert times[0][1] <= times[1][0]
    assert not [name for name, parent in found if parent == "orphan"]
    assert len({span.span_id for span in spans}) == len(spans)


async def killed_at(watched: Watched, phase: str) -> tuple[Cycle, CycleStatus, list[ReceivedSpan]]:
    """A cycle whose worker was killed with -9 in this phase, and which another one has ended."""
    root = watched.house.root
    first = None

    async def kill() -> None:
        assert first
        first.kill()
        await first.wait()

    async def script(asked: Asked) -> Says | Refuses:
        answer = usual(asked)
        return Says(answer.blocks, usage=answer.usage, before=kill) if asked.nth == 2 else answer

    if phase == "designing":
        watched.house.api.script = script
    else:
        (root / "hold").touch()
    first = await watched.house.worker_process()
    cycle = await watched.house.start()
    if phase == "training":
        await until((root / "begun").exists)
        await kill()
        (root / "go").touch()
    await first.wait()
    second = await watched.house.worker_process()
    try:
        status = await watched.ended(cycle)
        assert status.trace
        trace = status.trace
        await until(lambda: any(span.span_id == trace.span_id for span in watched.receiver.spans))
        await until(lambda: sum(span.name == ASSESS for span in watched.receiver.of(trace.trace_id)) > 0)
    finally:
        second.kill()
        await second.wait()
    return cycle, status, watched.receiver.of(trace.trace_id)


@pytest.mark.parametrize("phase", ["designing", "training"])
async def test_a_worker_that_is_killed_leaves_one_trace_without_orphans_or_doubles(
    watched: Watched, phase: str
) -> None:
    cycle, status, spans = await killed_at(watched, phase)
    assert status.outcome is Outcome.COMPLETED
    found = Counter(tree(spans))
    for name in names.PHASE_SPANS.values():
        assert found[name, names.CYCLE_SPAN] == 1
    assert found[names.CYCLE_SPAN, ""] == 1
    assert not [name for name, parent in found if parent == "orphan"]
    assert only(spans, names.PHASE_SPANS[phase]).seconds > 1  # the silence of the dead worker, too
    await times_are_true(cycle, spans)
