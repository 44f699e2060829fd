"""The two sides of the benchmark's comparison: cycles that talk to the ledger, and a bare pair with as many signals.

An envelope is six signals to the ledger (open, four records, close) and two back (granted, closed). The bare pair sends
six and two as well, in the same order and waiting at the same points, and does nothing else: its messages are one word.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from temporalio import workflow

from domain.cycle import CallUsage
from domain.envelope import Envelope, ask_to_open
from domain.ledger import Closed, Granted
from domain.results import Frozen

CALLS: Final = 4
"""Recorded calls of one envelope."""

CAP: Final = 120_000
USED: Final = 9_000
PHASE: Final = "design"


class Talk(Frozen):
    """Whom a talker talks to, when it begins, and how many envelopes it opens and closes, one after the other."""

    partner: str
    begin: datetime
    envelopes: int

    @property
    def until_begin(self) -> timedelta:
        """So that talkers which are started one by one begin at once."""
        return max(timedelta(0), self.begin - workflow.now())


class Spoken(Frozen):
    """A talker's own times, as its workflow tasks saw them. waits: seconds from each open to its granted."""

    began: datetime
    ended: datetime
    waits: tuple[float, ...]


@workflow.defn(sandboxed=False)
class LedgerTalker:
    """Opens, records its calls and closes, as a cycle does."""

    def __init__(self) -> None:
        self._granted: Granted | None = None
        self._closed: Closed | None = None

    @workflow.run
    async def run(self, talk: Talk) -> Spoken:
        """Talks to the ledger with this id."""
        await workflow.sleep(talk.until_begin)
        info, began, waits = workflow.info(), workflow.now(), list[float]()
        ledger = workflow.get_external_workflow_handle(talk.partner)
        for _ in range(talk.envelopes):
            self._granted, self._closed = None, None
            key, caps, asked = str(workflow.uuid4()), {PHASE: CAP}, workflow.now()
            opening = ask_to_open(key, info.workflow_id, info.run_id, caps, Decimal(1), False, asked)
            await ledger.signal("open", opening)
            await workflow.wait_condition(lambda: self._granted is not None)
            waits.append((workflow.now() - asked).total_seconds())
            assert self._granted is not None
            envelope = Envelope.opened(self._granted, caps)
            for _ in range(CALLS):
                envelope, ticket = envelope.take(PHASE, 2 * USED, Decimal("0.20"), workflow.now())
                usage = CallUsage(model="a-model", input=USED - 500, output=500)
                envelope, record = envelope.settle(ticket, usage, Decimal("0.05"), workflow.now())
                await ledger.signal("record", record)
            await ledger.signal("close", envelope.close(workflow.now()))
            await workflow.wait_condition(lambda: self._closed is not None)
        return Spoken(began=began, ended=workflow.now(), waits=tuple(waits))

    @workflow.signal
    def granted(self, message: Granted) -> None:
        """The ledger's first answer."""
        self._granted = message

    @workflow.signal
    def closed(self, message: Closed) -> None:
        """The ledger's receipt."""
        self._closed = message


@workflow.defn(sandboxed=False)
class BareTalker:
    """Sends as many signals and waits at the same points; nothing is computed."""

    def __init__(self) -> None:
        self._open_asks = 0

    @workflow.run
    async def run(self, talk: Talk) -> Spoken:
        """Talks to the bare answerer with this id."""
        await workflow.sleep(talk.until_begin)
        me, began, waits = workflow.info().workflow_id, workflow.now(), list[float]()
        partner = workflow.get_external_workflow_handle(talk.partner)
        for _ in range(talk.envelopes):
            asked = workflow.now()
            await self._ask(partner, me)
            waits.append((workflow.now() - asked).total_seconds())
            for _ in range(CALLS):
                await partner.signal("tell", me)
            await self._ask(partner, me)
        return Spoken(began=began, ended=workflow.now(), waits=tuple(waits))

    @workflow.signal
    def answer(self) -> None:
        """One of the two signals back."""
        self._open_asks -= 1

    async def _ask(self, partner: workflow.ExternalWorkflowHandle[object], me: str) -> None:
        self._open_asks += 1
        await partner.signal("ask", me)
        await workflow.wait_condition(lambda: self._open_asks == 0)


@workflow.defn(sandboxed=False)
class BareAnswerer:
    """Answers each `ask` with a signal, and hears each `tell`, until it is terminated."""

    @workflow.run
    async def run(self) -> None:
        """Serves."""
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    async def ask(self, cycle_id: str) -> None:
        """To be answered."""
        await workflow.get_external_workflow_handle(cycle_id).signal("answer")

    @workflow.signal
    def tell(self, cycle_id: str) -> None:
        """Only heard."""
