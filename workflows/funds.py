"""What a cycle may spend: its envelope, call by call, and where that does not suffice the ledger behind it.

An envelope belongs to one run. A cycle that was reset replays the grant of its earlier run, may not spend from it, and
opens one of its own, for what its phases have not used yet.
"""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

from temporalio import workflow

from domain.ceilings import INPUT_MARGIN, TurnFunds, grown, next_turn
from domain.cycle import Admission, AdmissionState, DesignerKind, OnBudgetExhausted, PhaseUsage
from domain.envelope import Envelope, Ticket
from domain.errors import ErrorCode
from domain.ledger import Refusal
from domain.turns import Answer, FundedTurn, next_prompt
from workflows.admission import LedgerLink
from workflows.cycle_input import CycleInput
from workflows.failures import CycleFailed

ASK_AGAIN = timedelta(minutes=1)
"""A cycle that waits, and was refused a place in the queue, asks for one again after so long."""


class Funds:
    """One cycle's money. Phases are those that call a model: design, then assess."""

    def __init__(self, start: CycleInput, link: LedgerLink) -> None:
        self._caps = _caps(start)
        self._bounds = start.turn_bounds
        self._price = start.price
        self._model = start.request.model or start.request.designer.value
        self._patient = start.request.on_budget_exhausted is OnBudgetExhausted.WAIT
        self._link = link
        self._envelopes: tuple[Envelope, ...] = ()
        self._stale = False
        self._margin = INPUT_MARGIN
        self._next_prompt: dict[str, int] = {}
        self._usage: dict[str, PhaseUsage] = {}

    @property
    def stale(self) -> bool:
        """Whether the envelope is an earlier run's, since the cycle was reset: nothing can be taken before `reopen`."""
        return self._stale

    @property
    def envelope(self) -> Envelope | None:
        """The one that is spent from; None before the first grant."""
        return self._envelopes[-1] if self._envelopes else None

    @property
    def spent(self) -> dict[str, object]:
        """The fields of the cycle's status: settled and charged, over all its envelopes, and their cost as far as there
        is a price.
        """
        return {
            "tokens": sum(envelope.tokens_spent for envelope in self._envelopes),
            "usage": self._usage,
            "cost_usd": sum((envelope.spent_usd for envelope in self._envelopes), Decimal(0)),
            "unpriced_tokens": sum(envelope.unpriced for envelope in self._envelopes),
        }

    async def open(self, wait: bool) -> Admission:
        """Ask for a slot, and funds for all phases. The envelope is there if the answer is granted."""
        return await self._open(self._caps, wait)

    async def reopen(self, phase: str) -> None:
        """Ask for a slot and what this phase and the later ones have not used yet.

        Raises CycleFailed with budget_exhausted where the cycle does not wait for funds.
        """
        phases = list(self._caps)
        left = {
            name: max(0, cap - self._settled(name)) if phases.index(name) >= phases.index(phase) else 0
            for name, cap in self._caps.items()
        }
        while (admission := await self._open(left, self._patient)).state is not AdmissionState.GRANTED:
            await self._later_or_never(admission)

    def on_reset(self) -> None:
        """The cycle is another run from here on."""
        self._stale = bool(self._envelopes)
        self._link.on_reset()

    async def take(self, phase: str, turn: int) -> tuple[Ticket, FundedTurn]:
        """The funds of one attempt of a turn, taken out of the envelope, topped up first where lost answers emptied it.

        Raises CycleFailed: the phase has used up its cap; budget_exhausted where the cycle does not wait for a top-up;
        envelope_stale where it is not this run's envelope, or the ledger has no such envelope any more.
        """
        while True:
            if self._stale:
                raise CycleFailed(ErrorCode.ENVELOPE_STALE, "the cycle was reset: the envelope is its earlier run's")
            envelope = self._present
            free, settled = envelope.free(phase), self._settled(phase)
            bounds = self._bounds.for_prompt(self._next_prompt.get(phase, 0), self._margin)
            funds = next_turn(bounds, turn, self._caps[phase], settled, free)
            if funds is None:
                raise _cap_reached(phase, settled, self._caps[phase])
            more = 0 if isinstance(funds, TurnFunds) else funds.tokens
            missing_usd = self._missing_usd(phase, free + more if more else funds.tokens)
            if isinstance(funds, TurnFunds) and not missing_usd:
                break
            await self._top_up(phase, more, missing_usd)
        after, ticket = envelope.take(phase, funds.tokens, self._ceiling_usd(funds.tokens), workflow.now())
        self._keep(after)
        return ticket, FundedTurn(
            granted_run_id=envelope.run_id,
            turn=turn,
            ceiling_tokens=funds.tokens,
            closing=funds.closing,
            margin=self._margin,
        )

    def settle(self, ticket: Ticket, answer: Answer) -> None:
        """Book what the answer used. One that doesn't tell is charged, unless its ceiling was nothing.

        A prompt that was estimated too low widens the margin of the cycle's later calls, and how far the conversation
        has grown bounds what its next turn needs.
        """
        usage = answer.usage
        if usage is None:
            self.charge(ticket)
            return
        if answer.counted is not None:
            self._margin = grown(self._margin, answer.counted, usage.prompt)
            self._next_prompt[ticket.phase] = next_prompt(answer)
        cost = self._price.cost(usage) if self._price else None
        after, record = self._present.settle(ticket, usage, cost, workflow.now())
        self._keep(after)
        self._usage = {**self._usage, ticket.phase: self._usage.get(ticket.phase, PhaseUsage()).and_of(usage)}
        self._link.record(record)

    def charge(self, ticket: Ticket) -> None:
        """Keep the ceiling of an answer that may have been billed; a ceiling of nothing can't have been."""
        if ticket.tokens == 0:
            self.put_back(ticket)
            return
        after, record = self._present.charge(ticket, self._model, workflow.now())
        self._keep(after)
        self._link.record(record)

    def put_back(self, ticket: Ticket) -> None:
        """Give a ceiling back whose attempt provably cost nothing."""
        self._keep(self._present.put_back(ticket))

    @property
    def _present(self) -> Envelope:
        if self.envelope is None:
            raise AssertionError("a conversation needs an envelope")
        return self.envelope

    def _keep(self, envelope: Envelope) -> None:
        self._envelopes = (*self._envelopes[:-1], envelope)

    def _settled(self, phase: str) -> int:
        return sum(envelope.settled(phase) for envelope in self._envelopes)

    def _ceiling_usd(self, tokens: int) -> Decimal | None:
        return self._price.ceiling(tokens) if self._price else None

    def _missing_usd(self, phase: str, tokens: int) -> Decimal:
        """What the envelope lacks in dollars for these tokens, and for what is free in the other phases."""
        free_usd = self._present.free_usd
        if self._price is None or free_usd is None:
            return Decimal(0)
        others = (self._present.free(other) for other in self._caps if other != phase)
        needed: Iterable[Decimal] = (self._price.ceiling(part) for part in (tokens, *others))
        return max(Decimal(0), sum(needed, Decimal(0)) - free_usd)

    async def _open(self, caps: dict[str, int], wait: bool) -> Admission:
        granted, admission = await self._link.open(caps, self._ceiling_usd(sum(caps.values())), wait, self.envelope)
        if granted is not None:
            self._envelopes = (*self._envelopes, Envelope.opened(granted, caps))
            self._stale = False
        return admission

    async def _top_up(self, phase: str, tokens: int, usd: Decimal) -> None:
        """Ask for more until it is granted. Raises CycleFailed where it isn't, or the envelope is no longer open."""
        message = self._present.ask_more(
            str(workflow.uuid4()), tokens, usd if self._price else None, self._patient, workflow.now()
        )
        granted, admission = await self._link.top_up(message)
        if granted is not None:
            self._keep(self._present.topped_up(granted, phase))
        elif admission.reason == Refusal.ENVELOPE_CLOSED.value:
            raise CycleFailed(ErrorCode.ENVELOPE_STALE, admission.message)
        else:
            await self._later_or_never(admission)

    async def _later_or_never(self, admission: Admission) -> None:
        if not self._patient:
            raise CycleFailed(ErrorCode.BUDGET_EXHAUSTED, admission.message)
        await workflow.sleep(ASK_AGAIN, summary="before the budget ledger is asked again")


def _caps(start: CycleInput) -> dict[str, int]:
    """Tokens by phase. The offline designer and assessor call no model, and a finished strategy needs no design."""
    if start.request.designer is DesignerKind.OFFLINE:
        return {"design": 0, "assess": 0}
    return {"design": 0 if start.request.strategy else start.design_token_cap, "assess": start.assess_token_cap}


def _cap_reached(phase: str, settled: int, cap: int) -> CycleFailed:
    code = ErrorCode.DESIGN_INVALID if phase == "design" else ErrorCode.INTERNAL_ERROR
    return CycleFailed(
        code,
        f"{phase} has used {settled:,} of its {cap:,} tokens and come to no end, and what is left pays for no further "
        "turn; start the cycle again with another brief or a higher cap (docs/budget.md)",
    )
