"""What the ledger needs of the Temporal server: that it runs, and what became of the runs that hold its envelopes."""

import asyncio
from dataclasses import dataclass

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import ErrorCode, ResearchError
from domain.ledger import (
    BUDGET_WORKFLOW,
    BudgetInput,
    EnsureBudget,
    Limits,
    RunFate,
    RunRef,
    RunReport,
    budget_workflow_id,
)

AT_ONCE = 10
"""Runs described at the same time."""

SUMMARY = "the budget ledger: grants cycles their tokens and dollars"


async def ensure_budget(client: Client, task_queue: str, limits: Limits, scope: str | None = None) -> None:
    """See that the scope's ledger runs, and start it where there never was one.

    The limits are those of a new ledger. A running one keeps its own, which `research budget set` changes and its
    status shows: a worker that boots with other settings must not move a limit that a person set.

    Raises ResearchError where the ledger was ended: an empty one in its place would grant the day a second time.
    """
    identity = budget_workflow_id(scope)
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
        raise ResearchError(
            ErrorCode.BUDGET_EXHAUSTED,
            f"The budget ledger {identity!r} was ended (terminated or deleted by somebody), and what it had granted "
            "today is not known any more. Nothing is granted until a person restarts it with this day counted as "
            "spent: `research budget restart`.",
        ) from error


async def restart_budget(client: Client, task_queue: str, limits: Limits, scope: str | None = None) -> None:
    """Start a ledger in the place of one that was ended, with the present day counted as spent. For a person to ask.

    Does nothing while a ledger runs.
    """
    await client.start_workflow(
        BUDGET_WORKFLOW,
        BudgetInput(limits=limits, spent=True),
        id=budget_workflow_id(scope),
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary=SUMMARY,
    )


@dataclass(frozen=True)
class BudgetActivities:
    """The ledger's own activities and the one by which cycles see that it runs."""

    client: Client

    @activity.defn(name="ensure_budget")
    async def ensure_budget(self, ensure: EnsureBudget) -> None:
        """As the function. Errors: budget_exhausted, where the ledger was ended; worth another try after a restart."""
        try:
            await ensure_budget(self.client, ensure.task_queue, ensure.limits, ensure.scope)
        except ResearchError as error:
            raise ApplicationError(error.message, type=error.code.value) from error

    @activity.defn(name="describe_holders")
    async def describe_holders(self, runs: list[RunRef]) -> list[RunReport]:
        """What became of each run. One that it can't tell is unknown; one that it has forgotten has ended."""
        free = asyncio.Semaphore(AT_ONCE)

        async def report(run: RunRef) -> RunReport:
            async with free:
                return RunReport(run_id=run.run_id, fate=await self._fate(run))

        return list(await asyncio.gather(*(report(run) for run in runs)))

    async def _fate(self, run: RunRef) -> RunFate:
        try:
            found = await self.client.get_workflow_handle(run.cycle_id, run_id=run.run_id).describe()
        except RPCError as error:
            # An id that the server calls invalid belongs to no run at all.
            nobody = error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT)
            return RunFate.ENDED if nobody else RunFate.UNKNOWN
        return RunFate.RUNNING if found.status is WorkflowExecutionStatus.RUNNING else RunFate.ENDED
