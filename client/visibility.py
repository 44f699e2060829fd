"""What the server itself tells of cycles, without a worker: lists by its search attributes, descriptions.

Lists may be a moment behind. They are filtered by the server, in its own order by time; by Sharpe ratio they are sorted
here, since a server whose visibility is in SQL takes no ORDER BY.
"""

import asyncio
from typing import Any, NamedTuple

from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHandle,
)
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from client.views import ListedCycle
from domain.cycle import CYCLE_WORKFLOW, Outcome
from domain.results import Verdict
from workflows import search_attributes

CUT_OFF = {
    WorkflowExecutionStatus.TERMINATED: Outcome.CANCELLED,
    WorkflowExecutionStatus.TIMED_OUT: Outcome.FAILED,
}
"""How cycles are closed that could not say how they ended, and the outcome that this counts as."""

MOST_SORTED = 10_000
"""Cycles with a Sharpe ratio that are fetched to be sorted, the newest ones, so that time and memory have a bound."""

WITH_SHARPE, WITHOUT_SHARPE = "Sharpe IS NOT NULL", "Sharpe IS NULL"


class Best(NamedTuple):
    """Cycles by Sharpe ratio. left_out: how many have one and are too old to be among those that were sorted."""

    cycles: list[ListedCycle]
    left_out: int


async def describe(handle: WorkflowHandle[Any, Any]) -> WorkflowExecutionDescription | None:
    """The server's description of a cycle, None where it knows none of that id."""
    try:
        description = await handle.describe()
    except RPCError as error:
        if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
            return None
        raise
    return description if description.workflow_type == CYCLE_WORKFLOW else None


def outcome_of(execution: WorkflowExecution) -> Outcome | None:
    """As the cycle itself has told it; else as what it counts for where it was ended from outside."""
    told = execution.typed_search_attributes.get(search_attributes.OUTCOME)
    if told in set(Outcome):
        return Outcome(told)
    return CUT_OFF.get(execution.status) if execution.status else None


def conditions(
    *, outcome: Outcome | None = None, verdict: Verdict | None = None, symbol: str | None = None, active: bool = False
) -> tuple[str, ...]:
    """As the server's query language has them; all of them must hold. What was ended from outside has the outcome that
    is recorded of it.
    """
    found = [f"WorkflowType = '{CYCLE_WORKFLOW}'"]
    if outcome:
        ended = [f"ExecutionStatus = '{_word(status)}'" for status, ends_as in CUT_OFF.items() if ends_as is outcome]
        found.append(" OR ".join([f"Outcome = '{outcome.value}'", *ended]))
    if verdict:
        found.append(f"Verdict = '{verdict.value}'")
    if symbol:
        found.append(f"Symbol = '{symbol}'")
    if active:
        found.append("ExecutionStatus = 'Running'")
    return tuple(found)


async def newest_cycles(client: Client, asked: tuple[str, ...], limit: int) -> list[ListedCycle]:
    """Newest first."""
    found = [execution async for execution in client.list_workflows(_all_of(asked), limit=limit)]
    told = await asyncio.gather(*(_tells_the_end(client, execution) for execution in found))
    listed = [_listed(execution) for execution, tells in zip(found, told, strict=True) if tells]
    return sorted(listed, key=lambda cycle: cycle.started_at, reverse=True)


async def best_cycles(client: Client, asked: tuple[str, ...], limit: int, most: int = MOST_SORTED) -> Best:
    """The highest Sharpe ratio first, of equals the newest; those without one come last, newest first."""
    query = _all_of((*asked, WITH_SHARPE))
    found = [execution async for execution in client.list_workflows(query, limit=most, page_size=1000)]
    left_out = (await client.count_workflows(query)).count - len(found) if len(found) == most else 0
    best: list[ListedCycle] = []
    for cycle, execution in sorted(((_listed(each), each) for each in found), key=_by_sharpe, reverse=True):
        if len(best) == limit:
            break
        if await _tells_the_end(client, execution):
            best.append(cycle)
    if len(best) < limit:
        best += await newest_cycles(client, (*asked, WITHOUT_SHARPE), limit - len(best))
    return Best(best, max(left_out, 0))


def _by_sharpe(row: tuple[ListedCycle, WorkflowExecution]) -> tuple[float, float]:
    cycle = row[0]
    return cycle.sharpe_ratio or 0.0, cycle.started_at.timestamp()


def _all_of(asked: tuple[str, ...]) -> str:
    return " AND ".join(f"({condition})" for condition in asked)


def _word(status: WorkflowExecutionStatus) -> str:
    """As a query of the visibility names it: TimedOut for TIMED_OUT."""
    return status.name.title().replace("_", "")


async def _tells_the_end(client: Client, execution: WorkflowExecution) -> bool:
    """Not where the run was ended because it was reset: a later run goes on with that cycle."""
    if execution.status not in CUT_OFF:
        return True
    latest = await describe(client.get_workflow_handle(execution.id))
    return latest is None or latest.run_id == execution.run_id


def _listed(execution: WorkflowExecution) -> ListedCycle:
    attributes = execution.typed_search_attributes

    def word(name: str) -> str | None:
        return attributes.get(SearchAttributeKey.for_keyword(name))

    return ListedCycle(
        cycle_id=execution.id,
        run_id=execution.run_id,
        phase=word("Phase"),
        outcome=outcome_of(execution),
        verdict=word("Verdict"),
        strategy=word("StrategyName"),
        symbol=word("Symbol"),
        timeframe=word("Timeframe"),
        sharpe_ratio=attributes.get(SearchAttributeKey.for_float("Sharpe")),
        tokens=attributes.get(SearchAttributeKey.for_int("TokensUsed")),
        started_at=execution.start_time,
        ended_at=execution.close_time,
    )
