"""What the ledger needs of the Temporal server: that it runs, and what became of the runs that hold its envelopes."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio import activity
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.ended_cycles import record_of
from activities.ended_runs import READING, Reading, calls_told, history_of
from activities.heartbeat import beating
from activities.lost_ledger import ledger_is_lost
from activities.open_envelopes import open_envelopes
from activities.record import RecordActivities
from domain.errors import ErrorCode, ResearchError
from domain.ledger import (
    BUDGET_WORKFLOW,
    Account,
    BudgetInput,
    EnsureBudget,
    Limits,
    RunFate,
    RunRef,
    RunReport,
    budget_workflow_id,
)

AT_ONCE = 10
"""Runs looked at, and histories held in memory, at the same time."""

PATIENCE = 0.6
"""The part of an attempt's time after which it answers with what it has found."""

CUT_OFF = frozenset({WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.TIMED_OUT})
"""How a cycle ends that could not record itself."""

log = logging.getLogger(__name__)

SUMMARY = "the budget ledger: grants cycles their tokens and dollars"


async def ensure_budget(client: Client, task_queue: str, limits: Limits, scope: str | None = None) -> None:
    """See that the scope's ledger runs, and start it where there never was one.

    The limits are those of a new ledger. A running one keeps its own, which are changed by a person with `research
    budget set`, and by settings that name another limit than before (client/limits.py).

    Raises ResearchError where the ledger was ended, or is not there any more while cycles show that it was: an empty
    one in its place would grant the day a second time.
    """
    identity = budget_workflow_id(scope)
    status = await _status(client, identity)
    if status is WorkflowExecutionStatus.RUNNING:
        return
    if status is not None or await ledger_is_lost(client, scope, datetime.now(UTC)):
        raise _ended(identity)
    try:
        await client.start_workflow(
            BUDGET_WORKFLOW,
            BudgetInput(limits=limits),
            id=identity,
            task_queue=task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=SUMMARY,
        )
    except WorkflowAlreadyStartedError as error:
        raise _ended(identity) from error


async def restart_budget(
    client: Client, task_queue: str, limits: Limits, scope: str | None = None
) -> tuple[Account, ...] | None:
    """Start a ledger in the place of one that was ended, for a person who asks. The days on which something may still
    be billed that nobody knows of any more count as spent, and what running cycles hold is taken over: the new ledger's
    accounts of it are returned. None where a ledger runs: then nothing is done.

    Raises ResearchError where what a cycle holds can't be read: then no ledger is started.
    """
    identity = budget_workflow_id(scope)
    if await _status(client, identity) is WorkflowExecutionStatus.RUNNING:
        return None
    adopted = await open_envelopes(client, scope)
    try:
        await client.start_workflow(
            BUDGET_WORKFLOW,
            BudgetInput(limits=limits, spent=True, adopted=adopted),
            id=identity,
            task_queue=task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=SUMMARY,
        )
    except WorkflowAlreadyStartedError:
        return None  # Somebody else was first, and has seen the same.
    return adopted


async def _status(client: Client, identity: str) -> WorkflowExecutionStatus | None:
    """What the server knows of the ledger; None where it knows none."""
    try:
        return (await client.get_workflow_handle(identity).describe()).status
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


def _ended(identity: str) -> ResearchError:
    return ResearchError(
        ErrorCode.BUDGET_EXHAUSTED,
        f"The budget ledger {identity!r} was ended (terminated or deleted by somebody), and what it had granted "
        "today is not known any more. Nothing is granted until a person restarts it with this day counted as "
        "spent: `research budget restart`.",
    )


@dataclass(frozen=True)
class BudgetActivities:
    """The ledger's own activities and the one by which cycles see that it runs.

    records: where cycles are recorded that were ended from outside; None: nowhere.
    """

    client: Client
    records: RecordActivities | None = None
    reading: Reading = READING

    @activity.defn(name="ensure_budget")
    async def ensure_budget(self, ensure: EnsureBudget) -> None:
        """As the function. Errors: budget_exhausted, where the ledger was ended; worth another try after a restart."""
        try:
            await ensure_budget(self.client, ensure.task_queue, ensure.limits, ensure.scope)
        except ResearchError as error:
            raise ApplicationError(error.message, type=error.code.value) from error

    @activity.defn(name="describe_holders")
    async def describe_holders(self, runs: list[RunRef]) -> list[RunReport]:
        """What became of each run, and the calls of those that ended. One that the server has forgotten has ended. One
        that was terminated or timed out, and so could not record itself, is recorded here.

        Unknown is one that can't be told now, because the server gives no answer, or none within this attempt's time,
        because the answer holds enough calls already, or because the store can't keep its record: the next sweep asks
        again.
        """
        found: dict[str, RunReport] = {}
        free = asyncio.Semaphore(AT_ONCE)

        async def look_at(run: RunRef) -> None:
            async with free:
                found[run.run_id] = await self._report(run)

        allowed = activity.info().start_to_close_timeout
        async with beating(f"looking at {len(runs)} runs"):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    asyncio.gather(*map(look_at, runs)), allowed.total_seconds() * PATIENCE if allowed else None
                )
        return self._in_one_answer(found.get(run.run_id) or _unknown(run) for run in runs)

    async def _report(self, run: RunRef) -> RunReport:
        try:
            found = await self.client.get_workflow_handle(run.cycle_id, run_id=run.run_id).describe()
            if found.status is WorkflowExecutionStatus.RUNNING:
                return RunReport(run_id=run.run_id, fate=RunFate.RUNNING)
            events = await history_of(self.client, run, self.reading)
            if events and found.status in CUT_OFF and not await self._recorded(run, events):
                return _unknown(run)
            calls = await calls_told(events, run, self.client.data_converter, self.reading) if events else None
            return RunReport(run_id=run.run_id, fate=RunFate.ENDED, calls=calls)
        except RPCError as error:
            # An id that the server calls invalid belongs to no run at all.
            nobody = error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT)
            return RunReport(run_id=run.run_id, fate=RunFate.ENDED) if nobody else _unknown(run)

    async def _recorded(self, run: RunRef, events: Sequence[HistoryEvent]) -> bool:
        """Keep what there is to be recorded of it; False where that has to be tried again."""
        if self.records is None or not await self._is_latest(run):
            return True
        status = await record_of(events, run, self.client.data_converter)
        if status is None:
            return True
        try:
            if await asyncio.to_thread(self.records.keep, status):
                log.info("cycle %s was ended from outside, and is recorded by its history", run.cycle_id)
        except ResearchError as error:
            log.warning("cycle %s was ended from outside, and is not recorded: %s", run.cycle_id, error)
            return error.code is not ErrorCode.STORE_UNAVAILABLE
        return True

    async def _is_latest(self, run: RunRef) -> bool:
        """Whether no later run goes on with the cycle and tells its story, as one does that was reset."""
        try:
            return (await self.client.get_workflow_handle(run.cycle_id).describe()).run_id == run.run_id
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False

    def _in_one_answer(self, reports: Iterable[RunReport]) -> list[RunReport]:
        told, room = list[RunReport](), self.reading.room
        for report in reports:
            size = len(report.model_dump_json()) if report.calls else 0
            told.append(report if size <= room else _unknown(report))
            room -= min(size, room)
        return told


def _unknown(run: RunRef | RunReport) -> RunReport:
    return RunReport(run_id=run.run_id, fate=RunFate.UNKNOWN)
