"""What running cycles still hold of a ledger that was ended, for the one that a person starts in its place.

While no ledger runs nothing is granted, so what a run has heard by now is all that it may spend from. What it makes of
it after the look it tells the new ledger: its records, top-ups and close wait until a ledger runs. Two things are not
seen, and a person who takes some seconds between the end and the restart rules both out: a run that the server's list
does not show yet, and a grant that was still on its way to its run when its ledger ended.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from activities.ended_runs import (
    READING,
    HistoryReader,
    HistoryUnreadable,
    Reading,
    events_of,
    has_ended,
    what_breaks_is_unreadable,
)
from domain.cycle import CYCLE_WORKFLOW
from domain.errors import ErrorCode, ResearchError
from domain.ledger import Account, Closed, Granted, Record, RunRef, TopUp

AT_ONCE = 10
"""Histories read, and held in memory, at the same time."""


async def open_envelopes(client: Client, scope: str | None, reading: Reading = READING) -> tuple[Account, ...]:
    """The open envelopes of all cycles of this budget scope that run now.

    Raises ResearchError where one of them can't be read, and RPCError where the server can't be asked.
    """
    listed = client.list_workflows(f"WorkflowType = '{CYCLE_WORKFLOW}' AND ExecutionStatus = 'Running'")
    runs = [RunRef(cycle_id=execution.id, run_id=execution.run_id) async for execution in listed]
    free = asyncio.Semaphore(AT_ONCE)

    async def look_at(run: RunRef) -> Account | None:
        async with free:
            return await _held_by(client, run, scope, reading)

    return tuple(account for account in await asyncio.gather(*map(look_at, runs)) if account)


async def _held_by(client: Client, run: RunRef, scope: str | None, reading: Reading) -> Account | None:
    """The run's open envelope; None where it has none, has ended meanwhile, or is under another ledger."""
    events: list[HistoryEvent] = []
    try:
        with what_breaks_is_unreadable():
            async for event in events_of(client, run, reading):
                events.append(event)
                if len(events) == 1 and await HistoryReader(events, run, client.data_converter).scope() != scope:
                    return None
        return await envelope_in(events, run, client.data_converter)
    except HistoryUnreadable as error:
        raise ResearchError(
            ErrorCode.BUDGET_EXHAUSTED,
            f"Cycle {run.cycle_id} (run {run.run_id}) is running, and what it may still spend can't be read from its "
            f"history: {error}. The ledger was not restarted, because it could grant the same tokens twice. Terminate "
            f"that cycle (`temporal workflow terminate --workflow-id {run.cycle_id}`, or in the Web UI), then type "
            "`research budget restart` again.",
        ) from error
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None


async def envelope_in(events: Sequence[HistoryEvent], run: RunRef, converter: DataConverter) -> Account | None:
    """The account of the envelope that a run holds, as its history so far tells: what it was granted, and every call
    that it has made; one in flight is none yet. None where it holds none: it still waits for one, the ledger has
    confirmed its close, or the run has ended.

    Raises HistoryUnreadable, and nothing else whatever the events are.
    """
    with what_breaks_is_unreadable():
        if has_ended(events):
            return None
        reader = HistoryReader(events, run, converter)
        if (last := (await reader.spent()).last) is None:
            return None
        key, calls = last
        known = {(call.seq, call.kind, call.tokens, call.usd) for call in calls}
        asked, granted = {key}, dict[str, Granted]()
        for event in events:
            sent = event.signal_external_workflow_execution_initiated_event_attributes
            heard = event.workflow_execution_signaled_event_attributes
            if sent.signal_name == "top_up":
                more = await reader.value(sent.input, TopUp)
                if (more.run_id, more.envelope_key) == (run.run_id, key):
                    asked.add(more.key)
            elif sent.signal_name == "record":
                told = await reader.value(sent.input, Record)
                ours = (told.run_id, told.envelope_key) == (run.run_id, key)
                if ours and (told.seq, told.kind, told.tokens, told.usd) not in known:
                    # The ledger would wait for ever for a call that the ended one was told of.
                    raise HistoryUnreadable(f"it has sent record {told.seq}, and its turns don't tell of that call")
            elif heard.signal_name == "granted":
                answer = await reader.value(heard.input, Granted)
                if answer.run_id == run.run_id and answer.key in asked:
                    granted.setdefault(answer.key, answer)
            elif heard.signal_name == "closed":
                receipt = await reader.value(heard.input, Closed)
                if (receipt.run_id, receipt.key) == (run.run_id, key):
                    return None
        if key not in granted:
            return None
        answers = granted.pop(key), *granted.values()
        return Account.taken_over(answers, calls, events[0].event_time.ToDatetime(tzinfo=UTC))
