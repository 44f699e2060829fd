"""The cycle's side of its talk with the budget ledger: open, top up, record, close, by signals in one ordered queue.

Nothing here lies on the path of a model's call. A cycle never ends before its close is acknowledged, because a signal
that a workflow leaves behind unsent is lost with it.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal

from temporalio import workflow
from temporalio.exceptions import FailureError

from domain.cycle import Admission, AdmissionState
from domain.envelope import Envelope, ask_to_open
from domain.errors import ErrorCode
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
    TopUp,
    budget_workflow_id,
)
from workflows.failures import CycleFailed, call, nearby
from workflows.policies import ActivityPolicy

RESEND_AFTER = timedelta(seconds=60)
"""After this long without any answer a message is sent again; the ledger answers a repeated one as the first."""

RESEND_QUEUED = timedelta(minutes=30)
"""A cycle in the queue asks again this often, so that a ledger which a person had to restart hears of it."""

LONGEST_RETRY = timedelta(minutes=5)
"""Between two attempts to reach a ledger that does not run; the first comes after two seconds, the next after four."""

_Message = Open | TopUp | Record | Close


class _Ask:
    """Something asked of the ledger, and what it has answered so far."""

    def __init__(self, message: Open | TopUp) -> None:
        self.message = message
        self.admission = Admission(state=AdmissionState.PENDING)
        self.granted: Granted | None = None
        self.void = False

    def decided(self) -> bool:
        """Granted or refused, or void: nobody will answer it any more."""
        return self.void or self.admission.state in (AdmissionState.GRANTED, AdmissionState.REFUSED)


class LedgerLink:
    """One cycle's link to the ledger. Its `on_*` methods are called by the cycle's signal handlers."""

    def __init__(self, scope: str | None, limits: Limits, task_queue: str, policy: ActivityPolicy) -> None:
        self.unreachable: str | None = None
        self._ensure = EnsureBudget(scope=scope, limits=limits, task_queue=task_queue)
        self._ledger = budget_workflow_id(scope)
        self._policy = policy
        self._opening: _Ask | None = None
        self._topping: _Ask | None = None
        self._closed = False
        self._heard = False
        self._failures = 0
        self._resets = 0
        self._outbox: deque[tuple[str, _Message]] = deque()
        self._sender: asyncio.Task[None] | None = None

    @property
    def admission(self) -> Admission:
        """The answer to the latest opening."""
        return self._opening.admission if self._opening else Admission(state=AdmissionState.PENDING)

    @property
    def top_up_asked(self) -> Admission | None:
        """The answer to a top-up that the cycle waits for; None where it waits for none."""
        return self._topping.admission if self._topping else None

    @property
    def waiting_for(self) -> str | None:
        """What the cycle waits for here, for people."""
        if self.unreachable:
            return self.unreachable
        asked = self._topping or self._opening
        if asked is None or asked.admission.state in (AdmissionState.GRANTED, AdmissionState.PENDING):
            return None
        answer = asked.admission
        place = "" if answer.position is None else f" (place {answer.position} in its queue)"
        what = "" if asked is self._opening else "more funds for its next call, from "
        return f"{what}the budget ledger{place}: {answer.message}"

    async def open(
        self, caps: Mapping[str, int], usd: Decimal | None, wait: bool, before: Envelope | None = None
    ) -> tuple[Granted | None, Admission]:
        """Ask for a slot and an envelope, and wait for the decision: granted or refused, after a queue if asked.

        before: the envelope from an earlier opening, which is given up for this one.
        """
        info = workflow.info()
        if self._opening is not None:
            self._send("close", self._closing(self._opening, before))  # so that it doesn't wait behind itself
        self._closed = self._heard = False
        self._topping = None
        key = str(workflow.uuid4())
        self._opening = _Ask(ask_to_open(key, info.workflow_id, info.run_id, caps, usd, wait, workflow.now()))
        return await self._decision_on("open", self._opening)

    async def top_up(self, message: TopUp) -> tuple[Granted | None, Admission]:
        """Ask for more in the open envelope, and wait for the decision as for an opening's.

        Raises CycleFailed with envelope_stale if the cycle is reset meanwhile.
        """
        ask = self._topping = _Ask(message)
        answer = await self._decision_on("top_up", ask)
        if ask.void:
            raise CycleFailed(ErrorCode.ENVELOPE_STALE, "the cycle was reset while it waited for more funds")
        if ask.granted is not None:
            self._topping = None
        return answer

    async def _decision_on(self, signal: str, ask: _Ask) -> tuple[Granted | None, Admission]:
        while not ask.decided():
            self._send(signal, ask.message)
            patience = RESEND_QUEUED if ask.admission.state is AdmissionState.QUEUED else RESEND_AFTER
            await self._until(ask.decided, patience, "waiting for the budget ledger")
        return ask.granted, ask.admission

    async def _until(self, condition: Callable[[], bool], patience: timedelta, summary: str) -> None:
        """Wait until it is so, or else until it is time to send the message again."""
        resets = self._resets
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: condition() or self._resets != resets, timeout=patience, timeout_summary=summary
            )

    def record(self, record: Record) -> None:
        """Put one call into the books, in its own time."""
        self._send("record", record)

    async def close(self, envelope: Envelope | None) -> None:
        """Give back what is left, or leave the queue, and wait until the ledger has acknowledged it."""
        if self._opening is None or self.admission.state is AdmissionState.REFUSED:
            return
        if self.unreachable and not self._heard:
            self._outbox.clear()  # No ledger has ever heard of this cycle: there is nothing to give back.
            return
        message = self._closing(self._opening, envelope)
        while not self._closed:
            self._send("close", message)
            await self._until(lambda: self._closed, RESEND_AFTER, "waiting for the ledger's receipt")

    def _closing(self, opening: _Ask, envelope: Envelope | None) -> Close:
        """Of what this run was granted. A run that was reset can't close the envelope of the run before it."""
        info, now, key = workflow.info(), workflow.now(), opening.message.key
        if envelope is not None and (envelope.key, envelope.run_id) == (key, info.run_id):
            return envelope.close(now)
        return Close(cycle_id=info.workflow_id, run_id=info.run_id, at=now, key=key)

    def on_reset(self) -> None:
        """This is another run now: answers to what the earlier one asked go to that. An opening is asked anew, as this
        run's own; a top-up is void, since its envelope is the earlier run's.
        """
        self._resets += 1
        if self._topping is not None:
            self._topping.void = True
            self._topping = None

    def on_granted(self, message: Granted) -> None:
        """The funds are held; with an opening's, the slot."""
        ask = self._asked(message.key)
        if ask is not None and not self._closed:
            ask.granted = message
            ask.admission = Admission(state=AdmissionState.GRANTED, message="admitted by the budget ledger")

    def on_refused(self, message: Refused) -> None:
        """The ledger said no."""
        if ask := self._asked(message.key):
            ask.admission = _decision(AdmissionState.REFUSED, message)

    def on_queued(self, message: Queued) -> None:
        """Not now."""
        ask = self._asked(message.key)
        if ask is not None and ask.admission.state is not AdmissionState.GRANTED:
            ask.admission = _decision(AdmissionState.QUEUED, message)

    def on_closed(self, message: Closed) -> None:
        """The ledger has everything."""
        if self._opening is not None and message.key == self._opening.message.key:
            self._closed = True

    def _asked(self, key: str) -> _Ask | None:
        """The ask that is being answered; None for one that is no longer asked."""
        return next((ask for ask in (self._opening, self._topping) if ask and ask.message.key == key), None)

    def _send(self, signal: str, message: _Message) -> None:
        if (signal, message) not in self._outbox:  # else it waits there still, for a ledger that does not run
            self._outbox.append((signal, message))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        ledger = workflow.get_external_workflow_handle(self._ledger)
        while self._outbox:
            signal, message = self._outbox[0]
            try:
                if not (isinstance(message, Close) and await self._carried(message)):
                    await ledger.signal(signal, message)
            except FailureError:
                await self._ensure_ledger()
            else:
                self.unreachable, self._failures, self._heard = None, 0, True
                if self._outbox:  # empty where the cycle gave up meanwhile
                    self._outbox.popleft()

    async def _carried(self, close: Close) -> bool:
        """Whether the worker has brought the close to the ledger. Of the other messages the history keeps the signal
        that the cycle sent: by these it is told afterwards what a cycle asked for and spent.
        """
        try:
            return await nearby("deliver_close", [self._ensure.scope, close], bool, "tell the budget ledger")
        except FailureError:
            return False

    async def _ensure_ledger(self) -> None:
        """No ledger runs. A first one is started; in place of one that was ended only a person may start another."""
        self._failures += 1
        try:
            await call(
                "ensure_budget", self._ensure, type(None), self._policy, summary="see that the budget ledger runs"
            )
        except CycleFailed as failure:
            self.unreachable = failure.message
        if self.unreachable or self._failures > 1:
            pause = min(timedelta(seconds=2**self._failures), LONGEST_RETRY)
            await workflow.sleep(pause, summary="before the budget ledger is tried again")


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
