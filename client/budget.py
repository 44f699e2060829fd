"""The budget ledger as a client reaches it: what people ask of it and tell it."""

import asyncio
import uuid
from datetime import date, timedelta
from typing import Any, TypeVar

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError, RPCStatusCode

from client.cycles import NEXT_WORKER, no_worker
from client.exits import CommandError, ExitCode
from domain.ledger import BudgetStatus, DayEntries, DaySummary, LimitsChange, budget_workflow_id

PATIENCE = timedelta(seconds=10)
BETWEEN_RUNS = (RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.RESOURCE_EXHAUSTED)
"""How an update fails that meets the end of the ledger's run: its task was not taken, or it "is closing"."""

MOST_SENDS = 8
SEND_AGAIN = 0.25
"""Seconds after which an update is sent again."""

Answer = TypeVar("Answer")


async def require_status(client: Client) -> BudgetStatus:
    """The day at a glance; an error where no ledger runs, or none any more."""
    if await _has_ended(client):
        # It would still answer, by what it last knew; but what it calls free is granted to nobody any more.
        raise _ended()
    return await ask(client, "status", BudgetStatus)


async def budget_status(client: Client) -> BudgetStatus | None:
    """The day at a glance; None where no ledger runs."""
    try:
        return await require_status(client)
    except CommandError as error:
        if error.code in ("no_ledger", "ledger_ended"):
            return None
        raise


async def budget_entries(client: Client, day: date | None) -> DayEntries:
    """The calls of a day; None is the ledger's present day."""
    return await ask(client, "entries", DayEntries, day)


async def budget_history(client: Client) -> list[DaySummary]:
    """The last 30 days, newest first."""
    return await ask(client, "history", list[DaySummary])


async def set_limits(client: Client, change: LimitsChange) -> BudgetStatus:
    """Change the limits of the running ledger."""
    return await tell(client, "set_limits", change)


async def pause(client: Client, reason: str) -> BudgetStatus:
    """Let no cycle in until `resume`."""
    return await tell(client, "pause", reason)


async def resume(client: Client) -> BudgetStatus:
    """Let cycles in again."""
    return await tell(client, "resume")


def ledger(client: Client, scope: str | None = None) -> WorkflowHandle[Any, Any]:
    """The ledger of a budget scope."""
    return client.get_workflow_handle(budget_workflow_id(scope))


async def ask(client: Client, query: str, answer: type[Answer], *arguments: object, scope: str | None = None) -> Answer:
    """A question to the ledger of a budget scope. Raises CommandError where none runs, or no worker answers for it."""
    try:
        found: Answer = await ledger(client, scope).query(
            query, args=arguments, result_type=answer, rpc_timeout=PATIENCE
        )
    except WorkflowQueryFailedError as error:
        raise CommandError(ExitCode.USAGE, "usage", f"the budget ledger says: {error}") from error
    except RPCError as error:
        raise _unanswered(error) from error
    return found


async def tell(client: Client, update: str, *arguments: object) -> BudgetStatus:
    """An update of the ledger, and the day after it. Raises CommandError as `ask`, and where the ledger was ended.

    Between two of the ledger's runs the server takes no update; it is sent again then, under one id, so that one that
    was heard all the same counts once.
    """
    identity, refusals = uuid.uuid4().hex, 0
    while True:
        try:
            status: BudgetStatus = await ledger(client).execute_update(
                update, args=arguments, id=identity, result_type=BudgetStatus, rpc_timeout=PATIENCE
            )
        except WorkflowUpdateFailedError as error:
            raise CommandError(ExitCode.USAGE, "usage", f"the budget ledger says: {error.cause or error}") from error
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise no_worker("no worker answers for the budget ledger, which hears this once one does") from error
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND and await _has_ended(client):
                raise _ended() from error
            refusals += 1
            if error.status not in BETWEEN_RUNS or refusals == MOST_SENDS:
                raise _unanswered(error) from error
        else:
            return status
        await asyncio.sleep(SEND_AGAIN)


async def _has_ended(client: Client) -> bool:
    """Whether there was a ledger that runs no more."""
    try:
        return (await ledger(client).describe()).status is not WorkflowExecutionStatus.RUNNING
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False


def _ended() -> CommandError:
    return CommandError(
        ExitCode.REFUSED_BY_BUDGET,
        "ledger_ended",
        "the budget ledger was ended (somebody terminated it), and grants nothing any more",
        "`research budget restart` starts another, which counts this day as spent; "
        "`research budget entries` tells what the ended one had",
    )


def _unanswered(error: RPCError) -> CommandError:
    if error.status is RPCStatusCode.NOT_FOUND:
        return CommandError(
            ExitCode.NO_TEMPORAL_OR_WORKER,
            "no_ledger",
            "no budget ledger runs in this namespace yet; the first worker starts it",
            f"{NEXT_WORKER}; in place of one that was deleted, `research budget restart` starts another",
        )
    if error.status in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.FAILED_PRECONDITION):
        return no_worker("no worker answers for the budget ledger")
    return CommandError(
        ExitCode.NO_TEMPORAL_OR_WORKER, "temporal_error", f"the Temporal server did not take it: {error.message}"
    )
