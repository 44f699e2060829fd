"""What cycles and the budget ledger say to each other, and what people see of the ledger.

Tokens are whole numbers, dollars Decimal, times aware UTC. Everything here is bounded: a ledger outlives every cycle,
and believes no message more than it must. `domain.ledger` publishes all of these names.
"""

from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field

from domain.cycle import MAX_TOKENS, CallUsage
from domain.results import Frozen

MAX_DAYS_OF_A_CALL = 32

Tokens = Annotated[int, Field(ge=0, le=MAX_TOKENS)]
Usd = Annotated[Decimal, Field(ge=0, max_digits=24, decimal_places=12)]
Key = Annotated[str, Field(min_length=1, max_length=80)]
WorkflowId = Annotated[str, Field(min_length=1, max_length=255)]


CLOCK_SKEW = timedelta(minutes=1)
"""How far the provider's clock may be from ours; around midnight both days count for as long."""

PROVIDER_GOES_ON = timedelta(minutes=15)
"""How long after a lost answer, or the end of a run, the provider may still be working on a call, and bill it."""

BUDGET_WORKFLOW = "BudgetWorkflow"
SCOPE_PATTERN = r"^[A-Za-z0-9_-]{1,40}$"


def budget_workflow_id(scope: str | None) -> str:
    """The id of the ledger of a budget scope; None is the one that everybody shares."""
    return f"budget/{scope}" if scope else "budget"


class Limits(Frozen):
    """What may be spent on one UTC day, and how many cycles may run at once. usd_per_day None: dollars unlimited."""

    tokens_per_day: Tokens = 500_000
    usd_per_day: Usd | None = None
    max_active_cycles: int = Field(1, ge=1, le=1_000)


class LimitsChange(Frozen):
    """What a person changes, or what the settings say; None says nothing of a limit, and leaves it as it is.

    lift_usd_limit is the value "none" of the limit in dollars, and goes before usd_per_day.
    """

    tokens_per_day: Tokens | None = None
    usd_per_day: Usd | None = None
    lift_usd_limit: bool = Field(False, description="take the dollar limit away")
    max_active_cycles: int | None = Field(None, ge=1, le=1_000)

    @classmethod
    def to(cls, limits: Limits) -> Self:
        """The change that names every limit."""
        return cls(
            tokens_per_day=limits.tokens_per_day,
            usd_per_day=limits.usd_per_day,
            lift_usd_limit=limits.usd_per_day is None,
            max_active_cycles=limits.max_active_cycles,
        )

    def applied(self, limits: Limits) -> Limits:
        """The limits after this change."""
        usd = limits.usd_per_day if self.usd_per_day is None else self.usd_per_day
        return Limits(
            tokens_per_day=limits.tokens_per_day if self.tokens_per_day is None else self.tokens_per_day,
            usd_per_day=None if self.lift_usd_limit else usd,
            max_active_cycles=self.max_active_cycles or limits.max_active_cycles,
        )

    def unlike(self, before: Self) -> Self:
        """Of what this says, only what says another thing than before."""
        same_usd = before.lift_usd_limit if self.lift_usd_limit else self.usd_per_day == before.usd_per_day
        return type(self)(
            tokens_per_day=None if self.tokens_per_day == before.tokens_per_day else self.tokens_per_day,
            usd_per_day=None if same_usd else self.usd_per_day,
            lift_usd_limit=self.lift_usd_limit and not same_usd,
            max_active_cycles=None if self.max_active_cycles == before.max_active_cycles else self.max_active_cycles,
        )

    def over(self, before: Self) -> Self:
        """What was said last of each limit: by this, or else before."""
        usd = self if self.lift_usd_limit or self.usd_per_day is not None else before
        return type(self)(
            tokens_per_day=before.tokens_per_day if self.tokens_per_day is None else self.tokens_per_day,
            usd_per_day=None if usd.lift_usd_limit else usd.usd_per_day,
            lift_usd_limit=usd.lift_usd_limit,
            max_active_cycles=self.max_active_cycles or before.max_active_cycles,
        )


class Refusal(StrEnum):
    """Why the ledger says no, or why a cycle waits. envelope_closed: a top-up's envelope is not open in this ledger."""

    BUDGET_EXHAUSTED = "budget_exhausted"
    ACTIVE_OPERATION_EXISTS = "active_operation_exists"
    BUDGET_PAUSED = "budget_paused"
    QUEUE_FULL = "queue_full"
    ENVELOPE_CLOSED = "envelope_closed"


class _FromCycle(Frozen):
    cycle_id: WorkflowId
    run_id: Key
    at: AwareDatetime


class Open(_FromCycle):
    """A cycle asks for a slot and its envelope.

    key: made once by workflow.uuid4(); the same key from the same run gets the same answer. run_id: the asking run.
    usd: the envelope in dollars, None where the model has no price (refused under a dollar limit, unless tokens is 0).
    """

    key: Key
    tokens: Tokens
    usd: Usd | None = None
    wait: bool = Field(False, description="queue for a slot and funds instead of being refused")


class TopUp(_FromCycle):
    """A cycle asks for more in its open envelope. key: a new one; envelope_key: that of its Open."""

    key: Key
    envelope_key: Key
    tokens: Tokens
    usd: Usd | None = None
    wait: bool = True


class RecordKind(StrEnum):
    """What is known of a call that could be billed."""

    SETTLED = "settled"
    CHARGED = "charged"


class Record(_FromCycle):
    """One call that was, or may have been, billed. Sent once for each; never for a call that provably cost nothing.

    run_id: the run that the envelope was granted to (Granted.run_id). seq: 1, 2, 3, ... within the envelope.
    settled: usage is what the answer reported, and counts. charged: the answer was lost, and the ceiling counts.
    days: every UTC day between the taking of the ceiling and the knowing of the answer (for a lost answer: plus as long
    as the provider may go on with it); the call counts in full on each. Envelope makes these messages.
    """

    envelope_key: Key
    seq: int = Field(ge=1, le=1_000_000)
    phase: str = Field(max_length=40)
    kind: RecordKind
    usage: CallUsage
    cost_usd: Usd | None = Field(None, description="of usage; None where the model has no price")
    ceiling_tokens: Tokens
    ceiling_usd: Usd | None = None
    days: tuple[date, ...] = Field(min_length=1, max_length=MAX_DAYS_OF_A_CALL)

    @property
    def tokens(self) -> int:
        """What counts."""
        return self.usage.total if self.kind is RecordKind.SETTLED else self.ceiling_tokens

    @property
    def usd(self) -> Decimal | None:
        """What counts in dollars; None where the model has no price."""
        return self.cost_usd if self.kind is RecordKind.SETTLED else self.ceiling_usd


class Close(_FromCycle):
    """A cycle gives back what is left, or leaves the queue. key: that of its Open. calls: how many records it sent.

    The ledger answers Closed once it has all of these records; until then a cycle must not end.
    run_id: the run that sends. A cycle that was reset is another run: it can't close its predecessor's envelope, whose
    calls it doesn't all know; it opens anew, and the sweep takes care of the old one.
    """

    key: Key
    calls: int = Field(0, ge=0, le=1_000_000)


class _FromLedger(Frozen):
    key: Key
    cycle_id: WorkflowId
    run_id: Key


class Granted(_FromLedger):
    """The funds are held. key: that of the Open or TopUp; tokens and usd: exactly what was asked."""

    kind: Literal["granted"] = "granted"
    tokens: int
    usd: Decimal | None = None


class _NotNow(_FromLedger):
    reason: Refusal
    message: str = Field(description="what stands in the way and what mends it, for the person who started the cycle")
    used: int
    held: int
    remaining: int
    deficit: int
    limit: int
    next_reset: AwareDatetime
    active_ids: tuple[str, ...] = ()


class Refused(_NotNow):
    """No, and why. Figures are tokens of the day that decides; used is settled and charged together."""

    kind: Literal["refused"] = "refused"


class Queued(_NotNow):
    """Not now: the cycle waits in the queue. Granted or Refused follows under the same key."""

    kind: Literal["queued"] = "queued"
    position: int = Field(ge=1)


class Closed(_FromLedger):
    """The envelope is closed and every record is in the books: the cycle may end."""

    kind: Literal["closed"] = "closed"


Reply = Annotated[Granted | Refused | Queued | Closed, Field(discriminator="kind")]


class RunRef(Frozen):
    """A run that the sweep asks about."""

    cycle_id: WorkflowId
    run_id: Key


class RunFate(StrEnum):
    """What the server says of a run. Unknown: it could not be asked, so nothing follows."""

    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"


class RunReport(Frozen):
    """The sweep's finding about one run.

    calls: every call that an ended run made and that could be billed, as its history tells, numbered 1, 2, 3, ... as
    its Envelope numbers them; one that was in flight at the end is charged, on every day on which the provider may bill
    it. None: the history could not be read, so nobody knows what the run spent.
    """

    run_id: Key
    fate: RunFate
    calls: tuple[Record, ...] | None = None


class Entry(Frozen):
    """One call in the books. operation_id is the cycle's id; the token fields follow the original plan's names."""

    timestamp: AwareDatetime
    operation_id: str
    run_id: str
    seq: int
    phase: str
    model: str
    state: Literal["settled", "charged", "forfeited"]
    input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = Field(description="what counts: the usage, or the ceiling of a lost answer")
    ceiling: int
    cost: Decimal | None = None
    days: tuple[date, ...]


class DayEntries(Frozen):
    """A day's entries, newest last. Older ones are folded: their number and sums stand in the folded fields."""

    day: date
    entries: tuple[Entry, ...]
    folded_calls: int = 0
    folded_settled_tokens: int = 0
    folded_charged_tokens: int = 0


class DaySummary(Frozen):
    """One day's sums. held: what open envelopes may still turn out to have spent on that day."""

    day: date
    limit_tokens: int
    limit_usd: Decimal | None
    settled_tokens: int
    charged_tokens: int
    held_tokens: int
    settled_usd: Decimal
    charged_usd: Decimal
    held_usd: Decimal
    unpriced_tokens: int = Field(description="tokens counted above whose model has no price")
    calls: int


class Holding(Frozen):
    """A cycle with an open envelope, in tokens: granted = settled + charged + held."""

    cycle_id: str
    run_id: str
    since: AwareDatetime
    granted: int
    settled: int
    charged: int
    held: int


class Waiting(Frozen):
    """Somebody in the queue, first come first served; top-ups of running cycles go before new cycles."""

    cycle_id: str
    run_id: str
    position: int
    top_up: bool
    tokens: int
    since: AwareDatetime


class BudgetStatus(Frozen):
    """The day at one glance. The first six fields are the original plan's; used = settled + charged.

    daily_budget = tokens_settled + tokens_charged + tokens_held + tokens_remaining, unless a limit was lowered below
    what had been granted (then tokens_remaining is 0).
    """

    daily_budget: int
    tokens_used_today: int
    tokens_remaining: int
    budget_available: bool
    reset_date: date = Field(description="the UTC day that these figures are of")
    invocations_today: int = Field(description="calls of a model that were or may have been billed")
    tokens_settled: int
    tokens_charged: int
    tokens_held: int
    daily_usd_budget: Decimal | None
    usd_settled: Decimal
    usd_charged: Decimal
    usd_held: Decimal
    usd_remaining: Decimal | None
    unpriced_tokens: int
    next_reset: AwareDatetime
    max_active_cycles: int
    active: tuple[Holding, ...]
    waiting: tuple[Waiting, ...]
    configured: LimitsChange = Field(description="what the settings said last; a person may have set others since")
    paused: str | None = Field(None, description="why, where the ledger is paused")
    overrun_tokens: int = Field(0, description="usage beyond its ceiling: never, unless a ceiling was wrong")
