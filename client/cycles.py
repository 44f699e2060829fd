"""Cycles as a client reaches them: start, look, list, cancel. The workflow answers while it lives, then the store."""

import asyncio
import contextlib
import secrets
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol, TypeVar

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from client import description
from client.connection import connect
from client.exits import CommandError, ExitCode, usage
from client.namespace import is_polled
from client.pending import Live, pending_work
from client.traced import traced_start
from client.views import Cancelled, Started
from client.visibility import CUT_OFF, conditions, describe, newest_cycles, outcome_of
from domain.cycle import CYCLE_WORKFLOW, Admission, CycleRequest, CycleStatus, DesignerKind, Outcome
from domain.errors import ResearchError
from domain.pricing import model_named, price_of
from engine.interface import CostOverride
from observability.propagation import Propagation
from settings import Settings
from workflows.cycle_input import CycleInput

QUERY_PATIENCE = timedelta(seconds=5)
WORKER_PATIENCE = 15.0
"""Seconds that a start waits for a worker to poll: one that was started a moment ago needs a few."""
ADMISSION_PATIENCE = 30.0
CANCEL_PATIENCE = 15.0
NEXT_WORKER = "start one with `research worker`, or everything on this machine with `research dev`"

NO_MEMO: Mapping[str, str | int] = {}

Result = TypeVar("Result")


class Found(NamedTuple):
    """A cycle as it was found: its status, its pending activity, and whether its workflow still runs.

    With an outcome and a workflow that runs, the cycle is being recorded, and holds its place in the ledger until then.
    """

    status: CycleStatus
    live: Live | None
    running: bool


class Records(Protocol):
    """The ended cycles: the store, or what opens it once it is needed."""

    def get(self, cycle_id: str) -> CycleStatus | None:
        """The cycle's latest run; None if there is none. Raises ResearchError where the store cannot be read."""
        ...


def talk(conversation: Coroutine[Any, Any, Result]) -> Result:
    """Run a conversation with Temporal to its end, and tell its connection's failures in words."""
    try:
        return asyncio.run(conversation)
    except RPCError as error:
        raise unanswered(error) from error


def unanswered(error: RPCError) -> CommandError:
    """The error for what the server did not do."""
    return CommandError(
        ExitCode.NO_TEMPORAL_OR_WORKER,
        "temporal_error",
        f"the Temporal server refused or did not answer: {error.message or error.status.name}",
        "try again; if it stays, look at the server's log",
    )


async def reach(settings: Settings) -> Client:
    """A client of the settings' server. Raises Unreachable, and the error of exit code 4."""
    return await connect(settings, interceptors=[Propagation()])


def new_cycle_id(now: datetime) -> str:
    """An id that sorts by time and is not guessed twice."""
    return f"cycle-{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


async def start_cycle(
    client: Client,
    settings: Settings,
    request: CycleRequest,
    cycle_id: str | None = None,
    memo: Mapping[str, str | int] = NO_MEMO,
) -> Started:
    """Start a cycle and learn its admission in one message. Nothing is started while no worker polls.

    cycle_id: its id, by default a new one; WorkflowAlreadyStartedError where there is or was a cycle of that id.
    memo: what its description is to tell beside the usual.
    """
    await require_worker(client, settings.task_queue)
    cycle_id = cycle_id or new_cycle_id(datetime.now(UTC))
    operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        CYCLE_WORKFLOW,
        cycle_input(settings, request),
        id=cycle_id,
        task_queue=settings.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        execution_timeout=settings.policies.life,
        static_summary=description.summary(request),
        static_details=description.details(request),
        memo={**description.memo(request), **memo},
    )
    try:
        async with traced_start(), asyncio.timeout(ADMISSION_PATIENCE):
            admission = await client.execute_update_with_start_workflow(
                "admission", start_workflow_operation=operation, result_type=Admission
            )
            handle = await operation.workflow_handle()
    except WorkflowAlreadyStartedError:
        with contextlib.suppress(WorkflowAlreadyStartedError):
            await operation.workflow_handle()  # It holds the error too, and complains where nobody asks it.
        raise
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise CommandError(
            ExitCode.NO_TEMPORAL_OR_WORKER,
            "no_worker",
            f"{cycle_id} is started, but no worker has answered for {ADMISSION_PATIENCE:.0f} s; it goes on by itself "
            "when one does",
            f"{NEXT_WORKER}; then `research status {cycle_id}`",
        ) from error
    except WorkflowUpdateFailedError as error:
        raise CommandError(
            ExitCode.FAILED, "start_failed", f"{cycle_id} did not tell its admission: {error.cause}"
        ) from error
    return Started(
        cycle_id=cycle_id, run_id=handle.result_run_id or handle.first_execution_run_id or "", admission=admission
    )


def cycle_input(settings: Settings, request: CycleRequest) -> CycleInput:
    """The request with what the house adds to it: who designs is named in full, as it is called and priced."""
    if request.designer is DesignerKind.CLAUDE:
        request = request.model_copy(update={"model": model_named(request.model or settings.model)})
    return CycleInput(
        request=request,
        engine_queue=settings.engine_queue,
        limits=settings.limits,
        costs=CostOverride(commission=settings.commission, half_spread=settings.half_spread),
        design_token_cap=settings.design_token_cap,
        assess_token_cap=settings.assess_token_cap,
        price=price_of(request.model, settings.prices),
        policies=settings.policies,
    )


async def fetch(client: Client, store: Records, cycle_id: str) -> Found:
    """A cycle's status, with its pending activity while it lives."""
    handle = client.get_workflow_handle(cycle_id)
    description = await describe(handle)
    if description is None or description.status is not WorkflowExecutionStatus.RUNNING:
        return Found(await _ended(client, store, handle, description), None, running=False)
    live = await pending_work(description, client.data_converter)
    return Found(await _ask(handle), live, running=True)


async def _ended(
    client: Client, store: Records, handle: WorkflowHandle[Any, Any], description: WorkflowExecutionDescription | None
) -> CycleStatus:
    """From the store if it has this run; else its workflow is asked, which needs a worker."""
    try:
        recorded = await asyncio.to_thread(store.get, handle.id)
    except ResearchError:
        if description is None:
            raise
        recorded = None
    if recorded and (description is None or recorded.run_id == description.run_id):
        return recorded
    if description is None:
        raise await unknown_cycle(client, handle.id)
    status = await _ask(handle)
    return status if status.outcome else _cut_off(status, description)


def _cut_off(status: CycleStatus, description: WorkflowExecutionDescription) -> CycleStatus:
    """The status of a cycle that was closed from outside, and so could neither say nor record how it ended."""
    how = f"{description.status.name.lower() if description.status else 'closed'} from outside"
    if description.status is WorkflowExecutionStatus.TIMED_OUT:
        how = "ended by the server, since it lived longer than a cycle may (the policy `life`)"
    return status.model_copy(
        update={
            "outcome": CUT_OFF.get(description.status, Outcome.FAILED) if description.status else Outcome.FAILED,
            "stopped_in": status.phase,
            "reason": f"{how}: the budget ledger will find that, free its place and record what it had",
            "waiting_for": None,
            "ended_at": description.close_time,
        }
    )


async def only_active(client: Client) -> str:
    """The id of the one active cycle; an error that names them where there are several, or none."""
    active = [cycle.cycle_id for cycle in await newest_cycles(client, conditions(active=True), 20)]
    if len(active) > 1:
        # The list may be a moment behind, and one that was just refused runs on until it is recorded.
        told = await asyncio.gather(*(describe(client.get_workflow_handle(cycle_id)) for cycle_id in active))
        running = [each for each in told if each and each.status is WorkflowExecutionStatus.RUNNING]
        active = [each.id for each in running if outcome_of(each) is None]
    if len(active) == 1:
        return active[0]
    if not active:
        raise usage("no research cycle is active", "`research list` shows the ended ones")
    raise usage(f"{len(active)} cycles are active: {', '.join(active)}", "name the one you mean")


async def cancel_cycle(client: Client, cycle_id: str, reason: str) -> tuple[CycleStatus | None, bool]:
    """Ask a cycle to end, and wait for it, 15 s at most. Its status then, None where no worker tells it, and whether it
    has ended; if not, it still stops what it does, or waits to be recorded. The cancel was sent in any case.
    """
    handle = client.get_workflow_handle(cycle_id)
    description = await describe(handle)
    if description is None:
        raise await unknown_cycle(client, cycle_id)
    if description.status is not WorkflowExecutionStatus.RUNNING:
        raise _not_cancellable(cycle_id, description)
    pinned = client.get_workflow_handle(cycle_id, run_id=description.run_id)
    try:
        await pinned.signal("cancel", reason)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        raise _not_cancellable(cycle_id, await pinned.describe()) from error
    ended = False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CANCEL_PATIENCE):
            while (await pinned.describe()).status is WorkflowExecutionStatus.RUNNING:
                await asyncio.sleep(0.1)
            ended = True
    with contextlib.suppress(CommandError):
        return await _ask(pinned), ended
    return None, ended


def came_to(cycle_id: str, found: CycleStatus | None, ended: bool) -> Cancelled:
    """What the cancel came to, of cancel_cycle's answer. An error where it was too late: the cycle ended otherwise."""
    outcome = found.outcome if found else None
    if found and outcome and outcome is not Outcome.CANCELLED:
        waits = f"; it waits for {found.waiting_for}" if found.waiting_for and not ended else ""
        raise CommandError(
            ExitCode.FAILED,
            "not_cancellable",
            f"the cancel came too late: {cycle_id} has ended as {outcome.value}{waits}",
            f"`research show {cycle_id}` tells how",
        )
    return Cancelled(cycle_id=cycle_id, ended=ended, stopped_in=found.stopped_in if found else None)


def _not_cancellable(cycle_id: str, description: WorkflowExecutionDescription) -> CommandError:
    ended_as = outcome_of(description)
    how = f" as {ended_as.value}" if ended_as else ""
    return CommandError(
        ExitCode.FAILED,
        "not_cancellable",
        f"{cycle_id} has already ended{how}: there is nothing to cancel",
        f"`research show {cycle_id}` tells how it ended",
    )


async def unknown_cycle(client: Client | None, cycle_id: str) -> CommandError:
    """The error for an id that nobody knows, with the nearest id that somebody does."""
    from difflib import get_close_matches

    known = [cycle.cycle_id for cycle in await newest_cycles(client, conditions(), 100)] if client else []
    nearest = get_close_matches(cycle_id, known, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return CommandError(
        ExitCode.USAGE, "not_found", f"there is no cycle {cycle_id}{hint}", "`research list` shows the ids"
    )


async def _ask(handle: WorkflowHandle[Any, Any]) -> CycleStatus:
    try:
        status: CycleStatus = await handle.query("status", result_type=CycleStatus, rpc_timeout=QUERY_PATIENCE)
    except WorkflowQueryFailedError as error:
        raise CommandError(
            ExitCode.FAILED,
            "internal_error",
            f"{handle.id} cannot tell its status: {error}",
            "look at the worker's log",
        ) from error
    except RPCError as error:
        if error.status in (
            RPCStatusCode.DEADLINE_EXCEEDED,
            RPCStatusCode.CANCELLED,
            RPCStatusCode.FAILED_PRECONDITION,
        ):
            raise no_worker(f"no worker answers for {handle.id}") from error
        raise
    return status


def no_worker(what: str) -> CommandError:
    """The error for questions that only a worker can answer."""
    return CommandError(ExitCode.NO_TEMPORAL_OR_WORKER, "no_worker", f"{what}; nothing is lost", NEXT_WORKER)


async def require_worker(client: Client, task_queue: str) -> None:
    """Wait a little until a worker polls the queue. Raises the error that says how to start one."""
    deadline = asyncio.get_running_loop().time() + WORKER_PATIENCE
    while not await is_polled(client, task_queue):
        if asyncio.get_running_loop().time() > deadline:
            raise CommandError(
                ExitCode.NO_TEMPORAL_OR_WORKER,
                "no_worker",
                f"no worker polls the task queue {task_queue!r}; nothing was started",
                NEXT_WORKER,
            )
        await asyncio.sleep(0.2)
