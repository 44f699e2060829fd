"""Whether there was a ledger of which the server knows nothing any more: somebody deleted it, or its retention is over.

Its cycles tell: those that run and hold an envelope, and those that were closed since yesterday and have spent. An
empty ledger in its place would grant the day a second time. Looked at only before a scope's first ledger starts. The
server's list may be a moment behind; a cycle that ended in that moment is not seen.
"""

import asyncio
from datetime import UTC, datetime, time, timedelta

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.ended_runs import (
    READING,
    HistoryUnreadable,
    Reading,
    calls_of,
    events_of,
)
from activities.open_envelopes import AT_ONCE, open_envelopes
from domain.cycle import CYCLE_WORKFLOW
from domain.ledger import RunRef, budget_workflow_id

CUT_OFF = "Outcome IS NULL"
"""Of a closed cycle: it could not say what it had spent."""


async def ledger_is_lost(client: Client, scope: str | None, now: datetime, reading: Reading = READING) -> bool:
    """Whether cycles of this budget scope show that there was a ledger, yesterday or today.

    Raises ResearchError where it can't be read what a running cycle holds, RPCError where the server can't be asked.
    """
    if await open_envelopes(client, scope, reading):
        return True
    yesterday = datetime.combine(now.astimezone(UTC).date() - timedelta(days=1), time(), UTC)
    closed = f"WorkflowType = '{CYCLE_WORKFLOW}' AND CloseTime >= '{yesterday:%Y-%m-%dT%H:%M:%SZ}'"
    for told, which in ((True, "TokensUsed > 0"), (False, CUT_OFF)):
        batch: list[RunRef] = []
        async for execution in client.list_workflows(f"{closed} AND {which}"):
            batch.append(RunRef(cycle_id=execution.id, run_id=execution.run_id))
            if len(batch) == AT_ONCE:
                if await _any_spent(client, batch, scope, told, reading):
                    return True
                batch.clear()
        if await _any_spent(client, batch, scope, told, reading):
            return True
    return False


async def _any_spent(client: Client, runs: list[RunRef], scope: str | None, told: bool, reading: Reading) -> bool:
    return any(await asyncio.gather(*(_spent(client, run, scope, told, reading) for run in runs)))


async def _spent(client: Client, run: RunRef, scope: str | None, told: bool, reading: Reading) -> bool:
    """Whether a closed run has, or may have, spent anything under the scope's ledger. told: it says so itself."""
    try:
        if not await _asked(client, run, budget_workflow_id(scope), reading):
            return False
    except HistoryUnreadable:
        return True
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return told or await calls_of(client, run, reading) != ()


async def _asked(client: Client, run: RunRef, ledger: str, reading: Reading) -> bool:
    """Whether the run ever asked this ledger for an envelope. What only calls itself a cycle did not."""
    async for event in events_of(client, run, reading):
        sent = event.signal_external_workflow_execution_initiated_event_attributes
        if sent.signal_name == "open" and sent.workflow_execution.workflow_id == ledger:
            return True
    return False
