"""BudgetWorkflow: the ledger's rules, made durable. One for each budget scope, for ever, continued as new.

Cycles talk to it by signals (open, record, top_up, close) and are answered by signals (granted, refused, queued,
closed); people by updates and queries. Every handler is synchronous: a decision and its change have no await between
them. What follows from all that came at once is done once, by `run`. Replies go through an outbox, at most
MAX_IN_FLIGHT at once and always to the run that asked. A run continues as new only when no reply and no sweep is under
way; what is not sent yet goes along in the state.

It doesn't end. A request to cancel it pauses it instead, because an ended ledger must not be restarted without a
person: what it had granted on that day would be forgotten. A reset of this workflow is not supported: it would forget
what was granted after the point of the reset.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import date

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

from domain.ledger import (
    BUDGET_WORKFLOW,
    BudgetInput,
    BudgetStatus,
    Close,
    DayEntries,
    DaySummary,
    EnsureBudget,
    Ledger,
    LedgerState,
    LimitsChange,
    Open,
    Record,
    Reply,
    RunReport,
    TopUp,
    Waiting,
    budget_workflow_id,
    next_reset,
)
from workflows.policies import SWEEP

__all__ = ["MAX_IN_FLIGHT", "BudgetInput", "BudgetWorkflow", "EnsureBudget", "budget_workflow_id"]

MAX_IN_FLIGHT = 50
"""Replies under way at once."""

BOOKS = frozenset({"days", "accounts", "ended", "entries", "waiting"})
"""Parts without which a state would say less than was spent or is held. They are written even where they are empty."""

RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

MAX_REASON = 500
"""Characters of a pause's reason."""


@workflow.defn(name=BUDGET_WORKFLOW, sandboxed=False)
class BudgetWorkflow:
    """The ledger of one budget scope."""

    @workflow.init
    def __init__(self, start: BudgetInput) -> None:
        # Signals are handled before `run` begins, so the state must be there already.
        if start.state is None and workflow.info().continued_run_id is not None:
            raise RuntimeError("the ledger's state is missing in a continued run: that is not 'nothing was spent'")
        if start.state is not None and (missing := BOOKS - start.state.model_fields_set):
            raise RuntimeError(f"the ledger's state lacks {sorted(missing)}: that is not 'nothing was spent'")
        self._settings = start
        self._state = start.state or LedgerState.new(start.limits, workflow.now(), start.spent, start.adopted)
        self._ledger = Ledger(self._state)
        self._outbox = {_address(reply): reply for reply in start.outbox}
        self._news = True
        self._next_tick = start.next_tick
        self._in_flight: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.Task[None] | None = None
        self._cancel_heard = False

    @workflow.run
    async def run(self, start: BudgetInput) -> None:
        """Serves until the history is long enough, then continues as new with everything that is known."""
        ticker = asyncio.create_task(self._tick())
        self._proceed()
        while not self._long_enough():
            await self._until(lambda: self._news or self._long_enough())
            self._proceed()
        ticker.cancel()
        await self._until(lambda: not self._in_flight and self._sweep is None)
        workflow.continue_as_new(
            self._settings.model_copy(
                update={
                    "spent": False,
                    "adopted": (),
                    "state": self._state,
                    "outbox": tuple(self._outbox.values()),
                    "next_tick": self._next_tick,
                }
            )
        )

    @workflow.signal
    def open(self, message: Open) -> None:
        """A cycle asks for a slot and its envelope."""
        self._reply(self._ledger.open(message, workflow.now()))

    @workflow.signal
    def record(self, message: Record) -> None:
        """A cycle tells what became of a call."""
        self._reply(self._ledger.record(message, workflow.now()))

    @workflow.signal
    def top_up(self, message: TopUp) -> None:
        """A cycle asks for more."""
        self._reply(self._ledger.top_up(message, workflow.now()))

    @workflow.signal
    def close(self, message: Close) -> None:
        """A cycle gives back what is left, or leaves the queue."""
        self._reply(self._ledger.close(message, workflow.now()))

    @workflow.update
    def set_limits(self, change: LimitsChange) -> BudgetStatus:
        """Changes the limits, from the present day on."""
        self._reply(self._ledger.set_limits(change, workflow.now()))
        return self.status()

    @workflow.update
    def configure(self, change: LimitsChange) -> BudgetStatus:
        """Hears what the settings of a worker or a client say; only what changed since they were last heard counts."""
        self._reply(self._ledger.configure(change, workflow.now()))
        return self.status()

    @workflow.update
    def pause(self, reason: str) -> BudgetStatus:
        """Grants nothing until resume."""
        self._reply(self._ledger.pause(reason, workflow.now()))
        return self.status()

    @pause.validator
    def _reason_is_short(self, reason: str) -> None:
        if len(reason) > MAX_REASON:
            raise ValueError(f"the reason has {len(reason)} characters, and at most {MAX_REASON} are kept: shorten it")

    @workflow.update
    def resume(self) -> BudgetStatus:
        """Grants again."""
        self._reply(self._ledger.resume(workflow.now()))
        return self.status()

    @workflow.query
    def status(self) -> BudgetStatus:
        """The day at one glance, as of the last message or tick."""
        return self._ledger.views.status(workflow.now())

    @workflow.query
    def entries(self, day: date | None = None) -> DayEntries:
        """A day's calls; the present day's where none is named."""
        return self._ledger.views.entries(day or self.status().reset_date)

    @workflow.query
    def history(self) -> tuple[DaySummary, ...]:
        """The sums of the last 30 days, newest first."""
        return self._ledger.views.history()

    @workflow.query
    def waiting(self) -> tuple[Waiting, ...]:
        """The queue, in the order in which it is served."""
        return self._ledger.views.waiting()

    def _reply(self, replies: list[Reply]) -> None:
        # One that waits here already, because the cycle has asked twice, is replaced by what is known now. Nothing is
        # sent to what is no id of a run: the server would refuse the whole task for it, again and again.
        self._outbox.update((_address(reply), reply) for reply in replies if RUN_ID.fullmatch(reply.run_id))
        self._news = True

    def _proceed(self) -> None:
        """Starts what there is to do. Not called any more once this run ends: the next one starts with it."""
        self._news = False
        workflow.set_current_details(_details(self.status()))
        while self._outbox and len(self._in_flight) < MAX_IN_FLIGHT:
            reply = self._outbox.pop(next(iter(self._outbox)))
            self._in_flight.add(asyncio.create_task(self._deliver(reply)))
        if self._state.sweep_wanted and self._sweep is None:
            self._sweep = asyncio.create_task(self._sweep_once())

    async def _deliver(self, reply: Reply) -> None:
        task = asyncio.current_task()
        cycle = workflow.get_external_workflow_handle(reply.cycle_id, run_id=reply.run_id)
        try:
            # Not by a local activity: in a task that has one a replay may count the history's events otherwise, and by
            # these this workflow decides when to continue as new.
            await cycle.signal(reply.kind, reply)
        except FailureError as error:
            # A receipt that comes too late, or twice, is nobody's loss. Of any other reply the run may have ended.
            if reply.kind != "closed":
                workflow.logger.warning("no %s for cycle %s: %s", reply.kind, reply.cycle_id, error)
                self._ledger.reply_failed(reply.run_id)
        self._in_flight = {other for other in self._in_flight if other is not task}
        self._news = True

    async def _sweep_once(self) -> None:
        runs = self._ledger.begin_sweep()
        reports: list[RunReport] = []
        try:
            if runs:
                reports = await workflow.execute_activity(
                    "describe_holders",
                    runs,
                    result_type=list[RunReport],
                    summary=f"do {len(runs)} cycles still run?",
                    **SWEEP.options(),
                )
        except ActivityError as error:
            workflow.logger.warning("the sweep could not ask about %d runs: %s", len(runs), error.cause)
        self._sweep = None
        self._reply(self._ledger.end_sweep(reports, workflow.now()))

    async def _tick(self) -> None:
        while True:
            now = workflow.now()
            latest = min(now + self._settings.sweep_every, next_reset(now))
            self._next_tick = min(self._next_tick, latest) if self._next_tick else latest
            if self._next_tick > now:
                await workflow.sleep(self._next_tick - now, summary="until the next look at clock and holders")
            self._next_tick = None
            self._reply(self._ledger.tick(workflow.now(), sweep=True))

    async def _until(self, condition: Callable[[], bool]) -> None:
        try:
            await workflow.wait_condition(condition)
        except asyncio.CancelledError:
            # Cancelled tasks also mean that a worker drops this run from its cache; that one must be let through.
            if workflow.cancellation_reason() is None or self._cancel_heard:
                raise
            self._cancel_heard = True
            self._reply(self._ledger.pause("somebody asked Temporal to cancel the ledger", workflow.now()))
            await workflow.wait_condition(condition)

    def _long_enough(self) -> bool:
        info = workflow.info()
        return (
            info.get_current_history_length() >= self._settings.continue_after_events
            or info.is_continue_as_new_suggested()
        )


def _address(reply: Reply) -> tuple[str, str, str]:
    """What makes two replies the same answer to the same ask."""
    return reply.run_id, reply.key, reply.kind


def _details(status: BudgetStatus) -> str:
    """The Web UI's lines on a ledger."""
    paused = f"\n\n**Paused**: {status.paused}" if status.paused else ""
    active = ", ".join(f"`{holding.cycle_id}`" for holding in status.active[:10]) or "none"
    return (
        f"**{status.reset_date}**: settled {status.tokens_settled:,}, charged {status.tokens_charged:,}, "
        f"held {status.tokens_held:,}, free {status.tokens_remaining:,} of {status.daily_budget:,} tokens\n\n"
        f"Active ({len(status.active)} of {status.max_active_cycles}): {active}\n\n"
        f"Waiting: {len(status.waiting)}{paused}"
    )
