"""A cycle's envelope: the funds that the ledger holds for one cycle, spent call by call without asking the ledger.

Before each attempt of a call that could be billed its ceiling is taken out (`take`). Then exactly one of three: the
answer's usage is known (`settle`: the rest of the ceiling is free again), the answer was lost (`charge`: the ceiling
stays spent), or the attempt provably cost nothing (`put_back`). Settle and charge also make the Record for the ledger.

    granted = settled + charged + in flight + free, for every phase, and nothing is ever negative

provided that no answer used more than its ceiling; one that did is booked in full, and free stays at zero.
A pure value: every operation returns the envelope that follows. Held by the workflow, it is as durable as the workflow.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Self

from pydantic import AwareDatetime, Field

from domain.cycle import CallUsage
from domain.ledger_messages import (
    CLOCK_SKEW,
    MAX_DAYS_OF_A_CALL,
    PROVIDER_GOES_ON,
    Close,
    Granted,
    Open,
    Record,
    RecordKind,
    TopUp,
)
from domain.results import Frozen


class EnvelopeExhausted(Exception):
    """The envelope has not enough left for this ceiling: top it up, or end the conversation."""


class Ticket(Frozen):
    """A ceiling taken for one attempt of one call, until it is known what became of it."""

    number: int
    phase: str
    tokens: int = Field(ge=0)
    usd: Decimal | None = None
    taken_at: AwareDatetime


class Purse(Frozen):
    """One phase's share of the envelope, in tokens."""

    granted: int = Field(ge=0)
    settled: int = Field(0, ge=0)
    charged: int = Field(0, ge=0)


class Envelope(Frozen):
    """The funds of one cycle. Made by `opened` from the ledger's answer; calls counts the records made so far.

    unpriced: tokens spent on a model without a price; spent_usd is of the others.
    """

    key: str
    cycle_id: str
    run_id: str
    purses: dict[str, Purse]
    granted_usd: Decimal | None = None
    spent_usd: Decimal = Decimal(0)
    unpriced: int = 0
    in_flight: tuple[Ticket, ...] = ()
    taken: int = 0
    calls: int = 0

    @classmethod
    def opened(cls, granted: Granted, caps: Mapping[str, int]) -> Self:
        """The envelope that was granted, shared out among the phases. Raises ValueError if the caps don't sum to it."""
        if sum(caps.values()) != granted.tokens:
            raise ValueError(f"the phases' caps sum to {sum(caps.values())} tokens, but {granted.tokens} were granted")
        return cls(
            key=granted.key,
            cycle_id=granted.cycle_id,
            run_id=granted.run_id,
            purses={phase: Purse(granted=cap) for phase, cap in caps.items()},
            granted_usd=granted.usd,
        )

    def settled(self, phase: str) -> int:
        """Tokens that the phase's answers have used."""
        purse = self.purses.get(phase)
        return purse.settled if purse else 0

    def free(self, phase: str) -> int:
        """Tokens that can be taken for the phase; 0 for a phase without a share."""
        purse = self.purses.get(phase)
        if purse is None:
            return 0
        flying = sum(ticket.tokens for ticket in self.in_flight if ticket.phase == phase)
        return max(0, purse.granted - purse.settled - purse.charged - flying)

    @property
    def free_usd(self) -> Decimal | None:
        """Dollars that can be taken; None where the envelope was granted without dollars."""
        if self.granted_usd is None:
            return None
        flying = sum((ticket.usd or Decimal(0) for ticket in self.in_flight), Decimal(0))
        return max(Decimal(0), self.granted_usd - self.spent_usd - flying)

    @property
    def tokens_spent(self) -> int:
        """Settled and charged, all phases."""
        return sum(purse.settled + purse.charged for purse in self.purses.values())

    def take(self, phase: str, tokens: int, usd: Decimal | None, at: datetime) -> tuple[Self, Ticket]:
        """Takes a call's ceiling out. Raises EnvelopeExhausted if it isn't there; then nothing has changed."""
        if tokens > self.free(phase):
            raise EnvelopeExhausted(f"{phase} needs {tokens} tokens for its next call, and has {self.free(phase)} left")
        if self.free_usd is not None:
            if usd is None:
                raise EnvelopeExhausted(f"{phase} would call a model without a price, under a limit in dollars")
            if usd > self.free_usd:
                raise EnvelopeExhausted(f"{phase} needs ${usd} for its next call, and has ${self.free_usd} left")
        ticket = Ticket(number=self.taken + 1, phase=phase, tokens=tokens, usd=usd, taken_at=at)
        return self.model_copy(update={"taken": ticket.number, "in_flight": (*self.in_flight, ticket)}), ticket

    def settle(self, ticket: Ticket, usage: CallUsage, cost: Decimal | None, at: datetime) -> tuple[Self, Record]:
        """The answer came, with its usage: that counts, and the rest of the ceiling is free again."""
        return self._book(ticket, RecordKind.SETTLED, usage, cost, at, at)

    def charge(self, ticket: Ticket, model: str, at: datetime) -> tuple[Self, Record]:
        """The answer was lost: the ceiling counts, on every day on which the provider may have billed it."""
        return self._book(ticket, RecordKind.CHARGED, CallUsage(model=model), None, at, at + PROVIDER_GOES_ON)

    def put_back(self, ticket: Ticket) -> Self:
        """The attempt provably cost nothing (it never reached a model): as if it had not been."""
        return self.model_copy(update={"in_flight": self._without(ticket)})

    def ask_more(self, key: str, tokens: int, usd: Decimal | None, wait: bool, at: datetime) -> TopUp:
        """The message that asks the ledger for more."""
        return TopUp(
            key=key,
            envelope_key=self.key,
            cycle_id=self.cycle_id,
            run_id=self.run_id,
            tokens=tokens,
            usd=usd,
            wait=wait,
            at=at,
        )

    def topped_up(self, granted: Granted, phase: str) -> Self:
        """The ledger granted more: it goes to this phase. A phase without a share so far gets one."""
        purse = self.purses.get(phase, Purse(granted=0))
        more = purse.model_copy(update={"granted": purse.granted + granted.tokens})
        usd = self.granted_usd if granted.usd is None else (self.granted_usd or Decimal(0)) + granted.usd
        return self.model_copy(update={"purses": {**self.purses, phase: more}, "granted_usd": usd})

    def close(self, at: datetime) -> Close:
        """The message that gives the rest back. Raises ValueError while a call is in flight: settle or charge it."""
        if self.in_flight:
            raise ValueError(f"{len(self.in_flight)} calls are in flight: settle or charge them before closing")
        return Close(key=self.key, cycle_id=self.cycle_id, run_id=self.run_id, calls=self.calls, at=at)

    def _without(self, ticket: Ticket) -> tuple[Ticket, ...]:
        if ticket not in self.in_flight:
            raise ValueError(
                f"call {ticket.number} is not in flight in this envelope: it was booked or put back before"
            )
        return tuple(other for other in self.in_flight if other != ticket)

    def _book(
        self,
        ticket: Ticket,
        kind: RecordKind,
        usage: CallUsage,
        cost: Decimal | None,
        at: datetime,
        billable_until: datetime,
    ) -> tuple[Self, Record]:
        record = Record(
            envelope_key=self.key,
            cycle_id=self.cycle_id,
            run_id=self.run_id,
            seq=self.calls + 1,
            phase=ticket.phase,
            kind=kind,
            usage=usage,
            cost_usd=cost,
            ceiling_tokens=ticket.tokens,
            ceiling_usd=ticket.usd,
            days=days_between(ticket.taken_at, billable_until),
            at=at,
        )
        purse = self.purses[ticket.phase]
        purse = purse.model_copy(update={kind.value: getattr(purse, kind.value) + record.tokens})
        after = self.model_copy(
            update={
                "purses": {**self.purses, ticket.phase: purse},
                "spent_usd": self.spent_usd + (record.usd or Decimal(0)),
                "unpriced": self.unpriced + (record.tokens if record.usd is None else 0),
                "in_flight": self._without(ticket),
                "calls": record.seq,
            }
        )
        return after, record


def ask_to_open(
    key: str, cycle_id: str, run_id: str, caps: Mapping[str, int], usd: Decimal | None, wait: bool, at: datetime
) -> Open:
    """The message that asks the ledger for an envelope with these caps, in tokens by phase."""
    return Open(key=key, cycle_id=cycle_id, run_id=run_id, tokens=sum(caps.values()), usd=usd, wait=wait, at=at)


def days_between(start: datetime, end: datetime) -> tuple[date, ...]:
    """Every UTC day that start to end touches, by our clock or by one that differs by CLOCK_SKEW; oldest first."""
    first = (start - CLOCK_SKEW).astimezone(UTC).date()
    last = (max(start, end) + CLOCK_SKEW).astimezone(UTC).date()
    return tuple(first + timedelta(days=n) for n in range((last - first).days + 1))[-MAX_DAYS_OF_A_CALL:]
