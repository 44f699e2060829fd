"""`research budget verify`: a day recomputed from the histories on the server, beside what the ledger says of it.

The ledger is read before the histories and again after them: what it had before must be in a history, and what a
history has must be in it after, however busy the cycles are meanwhile.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from client.audit_calls import GOES_ON, SKEW, HistoryReader, Telling, Unreadable
from client.audit_compare import Evidence, compare
from client.audit_payloads import LedgerInput, parsed
from client.audit_report import Audit, BookedDay, BookedSums, Books, LedgerBeginning, Standing
from client.budget import ask, ledger
from domain.cycle import CYCLE_WORKFLOW

AT_ONCE = 8
"""Histories read at the same time."""

MOST_RUNS = 5_000
"""Runs that one audit reads."""

ANSWERS_AT_REST = 5
"""How often the ledger is asked until nothing is booked between two answers."""

ROUNDS = 5
"""How often runs are read that the list did not show."""

NO_SUCH = (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT)
"""An id that the server calls invalid belongs to no run at all."""


class Run(NamedTuple):
    """A run of a cycle."""

    cycle_id: str
    run_id: str


class _Read(NamedTuple):
    """What came of reading a run: its telling, or why there is none; neither where the server does not know it, or
    where it is under another ledger.
    """

    run: Run
    telling: Telling | None = None
    trouble: str | None = None


async def audit(client: Client, day: date, scope: str | None = None) -> Audit:
    """The audit of a UTC day. Raises CommandError where no ledger answers, RPCError where the server does not."""
    since = datetime.now(UTC) - await _retention(client)
    before = await ask(client, "entries", BookedDay, day, scope=scope)
    listed = await _runs(client, day)
    read = await _read_all(client, listed[:MOST_RUNS], scope)
    books = await _books(client, day, scope, before)
    for _ in range(ROUNDS):
        if not (more := _named(books, read)):
            break
        read += await _read_all(client, more, scope)
        # What these histories have, the ledger must have after they were read.
        books = await _books(client, day, scope, before)
    evidence = Evidence(
        day=day,
        tellings=tuple(_tellings(read)),
        unreadable={one.run.run_id: (one.run.cycle_id, one.trouble) for one in read if one.trouble},
        unread=frozenset(run.run_id for run in _named(books, read)),
        bound=MOST_RUNS if len(listed) > MOST_RUNS else None,
        since=since,
    )
    return compare(evidence, books)


def _named(books: Books, read: Sequence[_Read]) -> list[Run]:
    """Runs that are not read yet: the list did not show them yet, or only a reset run has told of them."""
    named = {Run(entry.operation_id, entry.run_id) for entry in books.day.entries}
    named |= {
        Run(call.cycle_id, call.run_id) for one in _tellings(read) for call in one.calls if books.day.day in call.days
    }
    return sorted(named - {one.run for one in read})


async def _books(client: Client, day: date, scope: str | None, before: BookedDay) -> Books:
    beginning = await _beginning(client, scope)
    entries = await ask(client, "entries", BookedDay, day, scope=scope)
    answers = 0
    while True:
        sums = await ask(client, "history", list[BookedSums], scope=scope)
        standing = await ask(client, "status", Standing, scope=scope)
        again = await ask(client, "entries", BookedDay, day, scope=scope)
        answers += 1
        if again == entries or answers == ANSWERS_AT_REST:
            return Books(
                before=frozenset(entry.number for entry in before.entries),
                day=again,
                sums=tuple(sums),
                standing=standing,
                beginning=beginning,
                at_rest=again == entries,
            )
        entries = again


async def _beginning(client: Client, scope: str | None) -> LedgerBeginning | None:
    """The start of the ledger's first run; None where the server keeps that one no longer."""
    handle = ledger(client, scope)
    first = (await handle.describe()).raw_info.first_run_id
    if not first:
        return None  # An older server does not tell it.
    try:
        async for event in client.get_workflow_handle(handle.id, run_id=first).fetch_history_events(page_size=1):
            started = event.workflow_execution_started_event_attributes
            spent = parsed(LedgerInput, started.input).spent
            return LedgerBeginning(since=event.event_time.ToDatetime(tzinfo=UTC), spent=spent)
    except RPCError as error:
        if error.status not in NO_SUCH:
            raise
    except ValueError:
        pass  # Not what a ledger is started with: it says nothing about its beginning.
    return None


async def _retention(client: Client) -> timedelta:
    """How long the server keeps the history of an ended workflow; not at all, as far as one knows who may not ask."""
    try:
        answer = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    except RPCError as error:
        if error.status is not RPCStatusCode.PERMISSION_DENIED:
            raise
        return timedelta(0)
    return answer.config.workflow_execution_retention_ttl.ToTimedelta()


async def _runs(client: Client, day: date) -> list[Run]:
    """The runs of cycles that had part in the day, at most one more than are read."""
    begins = datetime.combine(day, time(), UTC)
    condition = (
        f"WorkflowType = '{CYCLE_WORKFLOW}' AND StartTime < '{_rfc3339(begins + timedelta(days=1) + SKEW)}' "
        f"AND (ExecutionStatus = 'Running' OR CloseTime >= '{_rfc3339(begins - GOES_ON - SKEW)}')"
    )
    found = client.list_workflows(condition, limit=MOST_RUNS + 1)
    return [Run(execution.id, execution.run_id) async for execution in found]


async def _read_all(client: Client, runs: Sequence[Run], scope: str | None) -> list[_Read]:
    free = asyncio.Semaphore(AT_ONCE)

    async def read(run: Run) -> _Read:
        async with free:
            return await _read(client, run, scope)

    return list(await asyncio.gather(*(read(run) for run in runs)))


async def _read(client: Client, run: Run, scope: str | None) -> _Read:
    reader = HistoryReader(run.cycle_id, run.run_id)
    handle = client.get_workflow_handle(run.cycle_id, run_id=run.run_id)
    try:
        async for event in handle.fetch_history_events(skip_archival=True):
            reader.read(event)
            if not reader.is_of(scope):
                return _Read(run)
        return _Read(run, telling=reader.telling())
    except Unreadable as error:
        return _Read(run, trouble=str(error))
    except RPCError as error:
        if error.status not in NO_SUCH:
            raise
        return _Read(run)


def _tellings(read: Iterable[_Read]) -> list[Telling]:
    return [one.telling for one in read if one.telling]


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
