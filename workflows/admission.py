"""The cycle's side of its talk with the budget ledger: open, record, close, all by signals, in one ordered queue.

Nothing here lies on the path of a model's call. A cycle never ends before its close is acknowledged, because a signal
that a workflow leaves behind unsent is lost with it.
"""

import asyncio
from collections import deque
from datetime import timedelta
from decimal import Decimal

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from domain.cycle import Admission, AdmissionState
    from domain.ledger import (
        Close,
        Closed,
        EnsureBudget,
        Granted,
        Limits,
        Open,
        Queued,
        Record,
        Refused,
        budget_workflow_id,
    )
    from workflows.policies import Policies

RESEND_AFTER = timedelta(seconds=60)

_Message = Open | Record | Close


class LedgerLink:
    """One cycle's link to the ledger. Its `on_*` methods are called by the cycle's signal handlers."""

    def __init__(self, scope: str | None, limits: Limits, task_queue: str, policies: Policies) -> None:
        self.admission = Admission(state=AdmissionState.PENDING)
        self.granted: Granted | None = None
        self.unreachable: str | None = None
        self._ensure = EnsureBudget(scope=scope, limits=limits, task_queue=task_queue)
        self._ledger = budget_workflow_id(scope)
        self._policies = policies
        self._key: str | None = None
        self._closed = False
        self._calls = 0
        self._outbox: deque[tuple[str, _Message]] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def open(self, tokens: int, usd: Decimal | None, wait: bool) -> Admission:
        """Ask for a slot and an envelope, and wait for the decision: granted or refused, after a queue if asked."""
        info = workflow.info()
        self.admission = Admission(state=AdmissionState.PENDING)
        self.granted, self._closed, self._calls = None, False, 0
        self._key = str(workflow.uuid4())
        await self._ensure_ledger()
        self._send(
            "open",
            Open(
                cycle_id=info.workflow_id,
                run_id=info.run_id,
                at=workflow.now(),
                key=self._key,
                tokens=tokens,
                usd=usd,
                wait=wait,
            ),
        )
        await workflow.wait_condition(
            lambda: self.admission.state in (AdmissionState.GRANTED, AdmissionState.REFUSED),
            timeout_summary="waiting for the budget ledger",
        )
        return self.admission

    def record(self, record: Record) -> None:
        """Put one call into the books, in its own time."""
        self._calls += 1
        self._send("record", record)

    async def close(self) -> None:
        """Give back what is left, or leave the queue, and wait until the ledger has acknowledged it."""
        if self._key is None or self.admission.state is AdmissionState.REFUSED:
            return
        info = workflow.info()
        message = Close(
            cycle_id=info.workflow_id, run_id=info.run_id, at=workflow.now(), key=self._key, calls=self._calls
        )
        while not self._closed:
            self._send("close", message)
            try:
                await workflow.wait_condition(
                    lambda: self._closed, timeout=RESEND_AFTER, timeout_summary="waiting for the ledger's receipt"
                )
            except TimeoutError:
                await self._ensure_ledger()

    def on_granted(self, message: Granted) -> None:
        """The funds are held, and with them the slot."""
        if message.key == self._key and not self._closed:
            self.granted = message
            self.admission = Admission(state=AdmissionState.GRANTED, message="admitted by the budget ledger")

    def on_refused(self, message: Refused) -> None:
        """The ledger said no."""
        if message.key == self._key:
            self.admission = _decision(AdmissionState.REFUSED, message)

    def on_queued(self, message: Queued) -> None:
        """Not now."""
        if message.key == self._key and self.admission.state is not AdmissionState.GRANTED:
            self.admission = _decision(AdmissionState.QUEUED, message)

    def on_closed(self, message: Closed) -> None:
        """The ledger has everything."""
        if message.key == self._key:
            self._closed = True

    def _send(self, signal: str, message: _Message) -> None:
        self._outbox.append((signal, message))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        ledger = workflow.get_external_workflow_handle(self._ledger)
        while self._outbox:
            signal, message = self._outbox[0]
            try:
                await ledger.signal(signal, message)
            except (ApplicationError, FailureError) as error:
                # No ledger runs. A new one is started only where none was ever ended; else a person is needed.
                self.unreachable = f"the budget ledger {self._ledger!r} does not answer: {error.message}"
                await workflow.sleep(RESEND_AFTER, summary="before sending to the ledger again")
                await self._ensure_ledger()
            else:
                self.unreachable = None
                self._outbox.popleft()

    async def _ensure_ledger(self) -> None:
        await workflow.execute_activity(
            "ensure_budget", self._ensure, **self._policies.ledger.options(), summary="see that the budget ledger runs"
        )


def _decision(state: AdmissionState, message: Refused | Queued) -> Admission:
    return Admission(
        state=state,
        reason=message.reason.value,
        message=message.message,
        position=message.position if isinstance(message, Queued) else None,
        used=message.used,
        remaining=message.remaining,
        deficit=message.deficit,
        limit=message.limit,
        next_reset=message.next_reset,
        active_ids=message.active_ids,
    )
