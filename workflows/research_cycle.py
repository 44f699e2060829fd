"""The story of one research cycle: admit, design, train, gate, backtest, gate, assess, record."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from domain.cycle import (
    CYCLE_WORKFLOW,
    MAX_REASON,
    Admission,
    AdmissionState,
    CycleResult,
    CycleStatus,
    Outcome,
    Phase,
    PhaseTiming,
    StrategyRef,
    folder_name,
)
from domain.gates import GateResult, backtest_gate, training_gate
from domain.ledger import Closed, Granted, Queued, Refused, RunRef
from domain.results import BacktestResult, Frozen, TrainingResult
from domain.trace import HEADER, Trace
from domain.turns import Answer, AssessAnswer, AssessTurn, DesignAnswer, DesignTurn, FundedTurn
from engine.handover import BacktestWork, Handover, TrainWork
from workflows import search_attributes
from workflows.admission import LedgerLink
from workflows.conversation import converse
from workflows.cycle_input import CycleInput
from workflows.details import current_details
from workflows.endings import Ending, Stop
from workflows.failures import CycleFailed, call_nearby, undisturbed
from workflows.funds import Funds
from workflows.inheritance import inherited
from workflows.jobs import LeftRunning, finished
from workflows.policies import ActivityPolicy

A = TypeVar("A", bound=Answer)
R = TypeVar("R")


@workflow.defn(name=CYCLE_WORKFLOW, sandboxed=False)
class ResearchCycleWorkflow:
    """One cycle. Its id is the cycle's id."""

    @workflow.init
    def __init__(self, start: CycleInput) -> None:
        info = workflow.info()
        self._start = start
        self._main: asyncio.Task[Any] | None = None
        self._refused_cancel = False
        self._cancel_reason: str | None = None
        self._ending: str | None = None
        self._retry: str | None = None
        self._link = LedgerLink(start.request.budget_scope, start.limits, info.task_queue, start.policies.ledger)
        self._funds = Funds(start, self._link)
        self._loop = asyncio.get_running_loop()
        workflow.register_random_seed_callback(self._on_new_seed)
        header = info.headers.get(HEADER)
        self._trace = Trace.of(info.original_execution_run_id, header.data if header else None)
        self._status = CycleStatus(
            cycle_id=info.workflow_id,
            run_id=info.run_id,
            request=start.request,
            trace=self._trace,
            started_at=workflow.now(),
        )

    def _on_new_seed(self, _seed: int) -> None:
        """The one sign of a reset that stands in the history, so that a replay meets it at the same place. It comes
        outside the loop, where nothing that waits would be looked at.
        """
        self._loop.call_soon(self._funds.on_reset)

    @workflow.run
    async def run(self, start: CycleInput) -> CycleResult:
        """Research, then record and give back whatever happens. Fails with the error code, or as cancelled."""
        self._main = asyncio.current_task()
        ending = Ending(Outcome.COMPLETED)
        try:
            await self._research()
        except (Stop, CycleFailed, LeftRunning, FailureError, asyncio.CancelledError) as error:
            # Other exceptions are defects of this code: the workflow task fails, and goes on once they are mended.
            if is_cancelled_exception(error) and workflow.cancellation_reason() is None and self._cancel_reason is None:
                raise  # A worker drops this run from its cache: nobody has cancelled anything.
            ending = Ending.by(error, self._status.phase, self._cancel_reason)
        await undisturbed(self._finish(ending))
        if ending.outcome is Outcome.CANCELLED:
            raise asyncio.CancelledError(ending.reason)
        if failure := self._status.failure:
            raise ApplicationError(failure.message, type=failure.code.value, non_retryable=True)
        return CycleResult.of(self._status, ending.outcome)

    async def _research(self) -> None:
        request = self._status.request
        self._enter(
            Phase.QUEUED,
            search_attributes.SYMBOL.value_set(request.symbol),
            search_attributes.TIMEFRAME.value_set(request.timeframe),
        )
        admission = await self._funds.open(wait=request.queue)
        if admission.state is AdmissionState.REFUSED:
            raise Stop(Outcome.REFUSED, admission.reason)
        await self._design()
        taken = await inherited(request.fork, self._start.policies.record)
        if request.fork:
            self._set(hypothesis=taken.hypothesis, memory_snapshot=taken.memory_snapshot)
        self._enter(Phase.TRAINING, search_attributes.STRATEGY_NAME.value_set(self._strategy().name))
        training = taken.training or await self._train()
        self._set(training=training)
        self._pass(training_gate(training, request.thresholds))
        self._enter(Phase.BACKTESTING)
        backtest = taken.backtest or await self._backtest(training)
        self._set(backtest=backtest)
        self._pass(backtest_gate(backtest, request.thresholds))
        await self._assess(search_attributes.sharpe(backtest.sharpe_ratio))

    async def _design(self) -> None:
        self._enter(Phase.DESIGNING)
        request = self._start.request
        if request.strategy is not None:
            self._set(strategy=request.strategy)
        else:
            answer = await self._converse(
                "design",
                lambda funded: DesignTurn(request=request, **dict(funded)),
                lambda answer: answer.strategy is not None,
                DesignAnswer,
                self._start.policies.design,
                f"for {request.symbol} {request.timeframe}",
            )
            self._set(strategy=answer.strategy, hypothesis=answer.hypothesis, memory_snapshot=answer.memory_snapshot)

    async def _train(self) -> TrainingResult:
        job = TrainWork(
            cycle_id=folder_name(self._status.cycle_id),
            strategy=self._strategy(),
            symbol=self._start.request.symbol,
            timeframe=self._start.request.timeframe,
            seed=self._start.request.seed,
        )
        return await self._engine("train", job, TrainingResult, self._start.policies.train)

    async def _backtest(self, training: TrainingResult) -> BacktestResult:
        bars = f"{self._start.request.symbol} {self._start.request.timeframe}"
        earlier = await call_nearby(
            "count_trials", self._start.request, int, self._start.policies.record, summary=f"earlier trials of {bars}"
        )
        job = BacktestWork(
            cycle_id=folder_name(self._status.cycle_id),
            strategy=self._strategy(),
            symbol=self._start.request.symbol,
            timeframe=self._start.request.timeframe,
            seed=self._start.request.seed,
            model_path=training.model_path,
            model_id=training.model_id,
            service_model=training.service.model_path if training.service else None,
            data_sha256=training.data_sha256,
            trials=earlier + 1,
            costs=self._start.costs,
        )
        return await self._engine("backtest", job, BacktestResult, self._start.policies.backtest)

    async def _assess(self, found: Sequence[SearchAttributeUpdate[float]]) -> None:
        self._enter(Phase.ASSESSING, *found)
        answer = await self._converse(
            "assess",
            lambda funded: AssessTurn(status=self._status, **dict(funded)),
            lambda answer: answer.assessment is not None,
            AssessAnswer,
            self._start.policies.assess,
            self._strategy().name,
        )
        self._set(assessment=answer.assessment)

    async def _finish(self, ending: Ending) -> None:
        """Record the cycle and give the envelope back, however long that has to be tried."""
        stopped = None if ending.outcome is Outcome.COMPLETED else self._status.phase
        self._end_phase()
        self._set(
            phase=Phase.DONE,
            stopped_in=stopped,
            **ending._asdict(),
            waiting_for=None,
            **self._funds.spent,
            ended_at=workflow.now(),
        )
        workflow.upsert_search_attributes(search_attributes.of_ended(self._status))
        if ending.outcome is Outcome.CANCELLED:
            workflow.upsert_memo({"cancel_reason": ending.reason})
        self._ending = "its results to be recorded"
        try:
            last = self.status().model_copy(update={"waiting_for": None})
            kept = f"{ending.outcome.value}, into the store"
            await call_nearby("record", last, bool, self._start.policies.record, summary=kept)
        except CycleFailed as error:
            self._set(**Ending.failed(Phase.DONE, error.code, error.message)._asdict())
            workflow.upsert_search_attributes([search_attributes.OUTCOME.value_set(Outcome.FAILED.value)])
        self._ending = "the budget ledger's receipt"
        await self._link.close(self._funds.envelope)
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._ending = None

    async def _converse(
        self,
        activity: str,
        turn: Callable[[FundedTurn], Frozen],
        finished: Callable[[A], bool],
        answer_type: type[A],
        policy: ActivityPolicy,
        summary: str,
    ) -> A:
        return await converse(
            activity,
            turn,
            finished,
            answer_type,
            self._funds,
            self._go_on,
            lambda: self._reopen(activity),
            self._pause,
            policy,
            self._start.policies.lost_answers,
            summary,
        )

    async def _reopen(self, next_spender: str) -> None:
        """Get a slot and funds again, for this activity and the later ones, and go on where the cycle was."""
        phase = self._status.phase
        self._enter(Phase.QUEUED)
        try:
            await self._funds.reopen(next_spender)
        except CycleFailed:
            self._enter(phase)  # in which it fails
            raise
        self._enter(phase)

    async def _pause(self, failure: CycleFailed, delay: timedelta) -> None:
        at = workflow.now() + delay
        self._wait_for(f"the next attempt, at {at:%H:%M:%S} UTC, after {failure.code.value}: {failure.message}")
        try:
            await workflow.sleep(delay, summary=f"before the next attempt, after {failure.code.value}")
        except asyncio.CancelledError:
            self._wait_for(None)
            raise
        # Not in a `finally`: a run that a worker has dropped is closed outside its loop, where nothing can be shown.
        self._wait_for(None)

    def _wait_for(self, retry: str | None) -> None:
        self._retry = retry
        self._show()

    async def _engine(self, activity: str, work: Handover, result_type: type[R], policy: ActivityPolicy) -> R:
        if self._funds.stale:
            await self._reopen("assess")
        summary = f"{self._strategy().name} on {self._start.request.symbol} {self._start.request.timeframe}"
        withdrawal = self._start.policies.withdraw
        queue = self._start.engine_queue
        return await finished(activity, work, result_type, policy, withdrawal, queue, summary, self._pause)

    def _pass(self, gate: GateResult) -> None:
        self._set(gates=(*self._status.gates, gate))
        if not gate.passed:
            raise Stop(Outcome.REJECTED, f"{gate.gate.value} gate: {gate.reason}")

    def _strategy(self) -> StrategyRef:
        if self._status.strategy is None:
            raise AssertionError("the design has ended without a strategy")
        return self._status.strategy

    def _enter(self, phase: Phase, *found: SearchAttributeUpdate[Any]) -> None:
        """found: what is known by now and cycles are looked for by; one write of the server's for all of it."""
        self._go_on()
        self._end_phase()
        timing = PhaseTiming(phase=phase, started_at=workflow.now())
        self._set(phase=phase, timings=(*self._status.timings, timing))
        workflow.upsert_search_attributes([search_attributes.PHASE.value_set(phase.value), *found])

    def _go_on(self) -> None:
        """Unless the cycle was cancelled: a cancel that finds an activity just ending counts all the same."""
        if workflow.cancellation_reason() is not None or self._refused_cancel:
            raise asyncio.CancelledError
        self._show()

    def _end_phase(self) -> None:
        if self._status.timings and self._status.timings[-1].ended_at is None:
            ended = self._status.timings[-1].model_copy(update={"ended_at": workflow.now()})
            self._status = self._status.model_copy(update={"timings": (*self._status.timings[:-1], ended)})

    def _set(self, **changes: object) -> None:
        self._status = self._status.model_copy(update=changes)
        self._show()

    def _show(self) -> None:
        workflow.set_current_details(current_details(self.status()))

    @property
    def trace_header(self) -> bytes:
        """What an activity is given of the trace: it belongs to the present phase, or else to the cycle as a whole."""
        trace = self._trace
        running = [timing.phase for timing in self._status.timings if self._status.timings[-1].ended_at is None]
        inside = running and running[-1] is not Phase.QUEUED
        return trace.header(trace.phase_ids(running)[-1] if inside else trace.span_id)

    @workflow.query
    def status(self) -> CycleStatus:
        """Everything known of the cycle so far."""
        live: dict[str, object] = {"admission": self._link.admission}
        if self._status.outcome is None:
            live |= {
                "waiting_for": self._link.waiting_for or self._retry,
                "top_up": self._link.top_up_asked,
                **self._funds.spent,
            }
        elif self._ending:
            live["waiting_for"] = self._link.unreachable or self._ending
        return self._status.model_copy(update=live)

    @workflow.update
    async def admission(self) -> Admission:
        """The ledger's decision, as soon as there is one: granted, refused, or a place in the queue.

        Still pending, with a message, where the cycle ended before the decision or no ledger can be reached.
        """
        await workflow.wait_condition(
            lambda: (
                self._link.admission.state is not AdmissionState.PENDING
                or self._link.unreachable is not None
                or self._status.outcome is not None
            )
        )
        if self._link.admission.state is not AdmissionState.PENDING:
            return self._link.admission
        return Admission(
            state=AdmissionState.PENDING, message=self._link.unreachable or "the cycle ended before it was admitted"
        )

    @workflow.signal
    async def cancel(self, reason: str = "") -> None:
        """End the cycle. What runs is told at once; asking twice, or too late, changes nothing."""
        if self._cancel_reason is not None or self._status.outcome is not None:
            return
        self._cancel_reason = reason[:MAX_REASON] or "cancelled"
        # Only the server can close a workflow as cancelled, so that is asked of it: one way for signal and Web UI.
        info = workflow.info()
        try:
            await workflow.execute_activity(
                "request_cancel",
                RunRef(cycle_id=info.workflow_id, run_id=info.run_id),
                summary="ask the server to cancel this cycle",
                **self._start.policies.request_cancel.options(),
            )
        except ActivityError:
            # The server refuses it to this worker. The work ends all the same; the workflow then closes as failed.
            self._refused_cancel = True
            if self._main:
                self._main.cancel()

    @workflow.signal
    def granted(self, message: Granted) -> None:
        """From the ledger."""
        self._link.on_granted(message)
        self._show()

    @workflow.signal
    def refused(self, message: Refused) -> None:
        """From the ledger."""
        self._link.on_refused(message)
        self._show()

    @workflow.signal
    def queued(self, message: Queued) -> None:
        """From the ledger."""
        self._link.on_queued(message)
        self._show()

    @workflow.signal
    def closed(self, message: Closed) -> None:
        """From the ledger."""
        self._link.on_closed(message)
