"""What the ledger remembers: one serialisable object, bounded, that is handed over when the ledger continues as new.

A state that is broken, or whose sums don't agree, can't be read: that is an error for a person to see, never "nothing
was spent".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from domain.ledger_messages import (
    CLOCK_SKEW,
    PROVIDER_GOES_ON,
    SCOPE_PATTERN,
    Entry,
    Granted,
    Limits,
    LimitsChange,
    Record,
    RecordKind,
    Refused,
    Reply,
)
from domain.results import Frozen


class Bounds(Frozen):
    """How much is remembered, and how many may wait: a ledger outlives every cycle, and its state must stay small."""

    waiting: int = Field(200, description="cycles in the queue; one more is refused with queue_full")
    undecided: int = Field(1_000, description="asks that wait for a sweep; one more is refused at once")
    swept: int = Field(40, description="runs that one sweep asks about")
    refused: int = Field(256, description="refusals remembered, so that an ask repeated gets the same answer")
    answers: int = Field(64, description="answers remembered in one envelope: of its opening and its latest top-ups")
    ended: int = Field(512, description="ended envelopes remembered, to know their late or repeated messages")
    entries: int = Field(300, description="entries kept one by one; older ones are folded into their days' sums")
    days: int = Field(30, description="days whose sums are kept")


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Amount:
    """Tokens and dollars that go together. unpriced: those of the tokens whose dollars nobody knows."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    tokens: int = 0
    usd: Decimal = Decimal(0)
    unpriced: int = 0

    @classmethod
    def of(cls, tokens: int, usd: Decimal | None) -> Self:
        """An amount; usd None: no price is known."""
        return cls(tokens=tokens, unpriced=tokens) if usd is None else cls(tokens=tokens, usd=usd)

    def __bool__(self) -> bool:
        return bool(self.tokens or self.usd or self.unpriced)

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            tokens=self.tokens + other.tokens, usd=self.usd + other.usd, unpriced=self.unpriced + other.unpriced
        )

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(
            tokens=self.tokens - other.tokens, usd=self.usd - other.usd, unpriced=self.unpriced - other.unpriced
        )

    def less(self, other: "Amount") -> "Amount":
        """What is left after the other is taken off, in no part below zero."""
        left = self - other
        return Amount(tokens=max(0, left.tokens), usd=max(Decimal(0), left.usd), unpriced=max(0, left.unpriced))

    def at_most(self, other: "Amount") -> "Amount":
        """The smaller, part by part."""
        return Amount(
            tokens=min(self.tokens, other.tokens),
            usd=min(self.usd, other.usd),
            unpriced=min(self.unpriced, other.unpriced),
        )


NOTHING = Amount()

ASK_FIRST = -1
"""An account's `checked` before that of any that was never asked about."""


class _Mutable(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DayBook(_Mutable):
    """One UTC day. held: what open envelopes hold, or may still turn out to have spent on this day.

    folded_*: the part of settled, charged and calls whose entries are no longer kept one by one.
    """

    limit_tokens: int
    limit_usd: Decimal | None
    settled: Amount = NOTHING
    charged: Amount = NOTHING
    held: Amount = NOTHING
    calls: int = 0
    folded_settled: Amount = NOTHING
    folded_charged: Amount = NOTHING
    folded_calls: int = 0

    @property
    def total(self) -> Amount:
        """All that may have been billed on this day."""
        return self.settled + self.charged + self.held

    @property
    def free_tokens(self) -> int:
        """Tokens that can be granted; 0 where a limit was lowered below what had been granted."""
        return max(0, self.limit_tokens - self.total.tokens)

    @property
    def free_usd(self) -> Decimal | None:
        """Dollars that can be granted; None without a dollar limit; 0 while the dollars of some tokens are unknown."""
        if self.limit_usd is None:
            return None
        total = self.total
        return Decimal(0) if total.unpriced else max(Decimal(0), self.limit_usd - total.usd)

    def fits(self, amount: Amount) -> bool:
        """Whether the amount can be granted on this day. (Nothing at all need not fit.)"""
        after = self.total + amount
        if after.tokens > self.limit_tokens:
            return False
        return self.limit_usd is None or (after.usd <= self.limit_usd and after.unpriced == 0)


class End(StrEnum):
    """How an envelope ended. closed: with every call in the books, by its own run's word or by that run's history.
    unknown: a record came for an envelope that this ledger never opened.
    """

    CLOSED = "closed"
    FORFEITED = "forfeited"
    UNKNOWN = "unknown"


class Account(_Mutable):
    """The ledger's side of one envelope: granted = settled + charged + what the present day holds.

    held: by day, what may still turn out to have been spent on it. A day is left with all that the envelope held at
    that midnight; each later record that names the day takes its part out, and the close takes out the rest.
    forfeited: the same once the run has ended without a word; it stays charged.
    next_seq, ahead: records 1 .. next_seq - 1 are in the books, and those in ahead, which came out of order.
    closing: the number of records that a close has named, while some are missing.
    """

    key: str
    cycle_id: str
    run_id: str
    since: AwareDatetime
    granted: Amount = NOTHING
    settled: Amount = NOTHING
    charged: Amount = NOTHING
    held: dict[date, Amount] = Field(default_factory=dict)
    forfeited: dict[date, Amount] = Field(default_factory=dict)
    next_seq: int = 1
    ahead: list[int] = Field(default_factory=list)
    closing: int | None = None
    answers: dict[str, Granted] = Field(default_factory=dict)
    checked: int = Field(0, description="number of the sweep that last asked about its run, or ASK_FIRST")
    end: End | None = None
    ended_at: AwareDatetime | None = None

    @classmethod
    def taken_over(
        cls, answers: Sequence[Granted], calls: Sequence[Record], since: datetime, bounds: Bounds = BOUNDS
    ) -> Self:
        """The account of an envelope that a ledger before this one granted, by these answers, the opening's first, and
        of which its run has made these calls, numbered 1, 2, 3, ... They are known here, and in no book: the days on
        which they may have been billed count as spent (LedgerState.new, which also says what is held).
        """
        opening = answers[0]
        account = cls(key=opening.key, cycle_id=opening.cycle_id, run_id=opening.run_id, since=since)
        for answer in answers:
            account.granted += Amount.of(answer.tokens, answer.usd)
            account.keep_answer(answer, bounds)
        for call in calls:
            if call.kind is RecordKind.SETTLED:
                account.settled += Amount.of(call.tokens, call.usd)
            else:
                account.charged += Amount.of(call.tokens, call.usd)
        account.next_seq = len(calls) + 1
        return account

    @property
    def unspent(self) -> Amount:
        """What the envelope may still spend, or may have spent without our knowing."""
        return self.granted.less(self.settled + self.charged)

    def keep_answer(self, answer: Granted, bounds: Bounds) -> None:
        """Keeps an answer for the ask repeated. That of the opening, under the envelope's own key, is never dropped."""
        self.answers[answer.key] = answer
        while len(self.answers) > bounds.answers:
            del self.answers[next(key for key in self.answers if key != self.key)]

    def first_time(self, seq: int) -> bool:
        """Notes a record's number; False if it was noted before."""
        if seq < self.next_seq or seq in self.ahead:
            return False
        self.ahead.append(seq)
        while self.next_seq in self.ahead:
            self.ahead.remove(self.next_seq)
            self.next_seq += 1
        return True

    def can_have_made(self, calls: Sequence[Record]) -> bool:
        """Whether these can be all calls of this envelope: its own, without a gap, as many as its close named, and in
        number and sums those that are in the books already.
        """
        booked = [call for call in calls if call.seq < self.next_seq or call.seq in self.ahead]
        sums = dict.fromkeys(RecordKind, NOTHING)
        for call in booked:
            sums[call.kind] += Amount.of(call.tokens, call.usd)
        return (
            all((call.run_id, call.envelope_key) == (self.run_id, self.key) for call in calls)
            and [call.seq for call in calls] == list(range(1, len(calls) + 1))
            and self.closing in (None, len(calls))
            and len(booked) == self.next_seq - 1 + len(self.ahead)
            and sums == {RecordKind.SETTLED: self.settled, RecordKind.CHARGED: self.charged}
        )


class Ask(_Mutable):
    """Somebody who asked and has no final answer yet. envelope_key: of the envelope to top up; None for an opening."""

    key: str
    cycle_id: str
    run_id: str
    envelope_key: str | None
    tokens: int
    usd: Decimal | None
    wait: bool
    since: AwareDatetime
    sweep: int = Field(
        0, description="number of sweeps begun when it came: one that doesn't wait is refused by a later"
    )

    @property
    def identity(self) -> str:
        """As ask_id."""
        return ask_id(self.run_id, self.key)

    @property
    def amount(self) -> Amount:
        """What it asks for."""
        return Amount.of(self.tokens, self.usd)


class LedgerState(_Mutable):
    """Everything. day is the latest UTC day in the books and never goes back.

    configured: what the settings said last of each limit; limits differs from it where a person set them.
    """

    limits: Limits
    configured: LimitsChange = LimitsChange()
    day: date
    days: dict[date, DayBook] = Field(default_factory=dict)
    accounts: dict[str, Account] = Field(default_factory=dict)
    ended: dict[str, Account] = Field(default_factory=dict)
    waiting: list[Ask] = Field(default_factory=list)
    refused: dict[str, Refused] = Field(default_factory=dict)
    entries: list[Entry] = Field(default_factory=list)
    paused: str | None = None
    sweeps: int = 0
    sweep_wanted: bool = False
    overrun_tokens: int = 0

    @classmethod
    def new(cls, limits: Limits, now: datetime, spent: bool = False, adopted: Iterable[Account] = ()) -> Self:
        """A ledger's first state. spent: in place of one that was ended. Of what that one granted nobody knows more
        than adopted: the envelopes that running cycles still hold. So the days on which anything else of it may be
        billed count as spent to the limit: yesterday, today, and tomorrow too where a call that was in flight when its
        run ended may go on into it. What is adopted is held on all of them, and moves on.
        """
        today = now.astimezone(UTC).date()
        state = cls(limits=limits, configured=LimitsChange.to(limits), day=today)
        if spent:
            state.day = (now + PROVIDER_GOES_ON + CLOCK_SKEW).astimezone(UTC).date()
            whole = Amount.of(limits.tokens_per_day, limits.usd_per_day)
            for day in sorted({today - timedelta(days=1), today, state.day}):
                book = state.book(day)
                book.charged = book.folded_charged = whole
        for account in adopted:
            state.accounts[ask_id(account.run_id, account.key)] = account
            for day in sorted({today, *state.days}):
                state.book(day).held += account.unspent
                account.held[day] = account.unspent
        return state

    def book(self, day: date) -> DayBook:
        """The day's book, opened now where there is none."""
        return self.days.setdefault(day, self.peek(day))

    def peek(self, day: date) -> DayBook:
        """The day's book to read; an empty one where there is none."""
        return self.days.get(day) or DayBook(limit_tokens=self.limits.tokens_per_day, limit_usd=self.limits.usd_per_day)

    @model_validator(mode="after")
    def _sums_agree(self) -> Self:
        for day, book in self.days.items():
            settled, charged = book.folded_settled, book.folded_charged
            for entry in self.entries:
                if day in entry.days:
                    amount = Amount.of(entry.total_tokens, entry.cost)
                    settled, charged = (
                        (settled + amount, charged) if entry.state == "settled" else (settled, charged + amount)
                    )
            held = NOTHING
            for account in self.accounts.values():
                held += account.held.get(day, NOTHING)
            for account in self.ended.values():
                charged += account.forfeited.get(day, NOTHING)
            if (settled, charged, held) != (book.settled, book.charged, book.held):
                raise ValueError(
                    f"the ledger's books of {day} don't add up: settled {book.settled} and entries {settled}, "
                    f"charged {book.charged} and entries {charged}, held {book.held} and envelopes {held}. "
                    "Nothing is granted from such a state; terminate the ledger and restart it with the day as spent"
                )
        return self


def ask_id(run_id: str, key: str) -> str:
    """What identifies an ask or an envelope: a key means something only from the run that made it."""
    return f"{run_id}/{key}"


class EnsureBudget(Frozen):
    """Which ledger should run, on which task queue its worker listens, and the limits for one that must be started."""

    scope: str | None = Field(None, pattern=SCOPE_PATTERN)
    limits: Limits
    task_queue: str = Field(min_length=1)


class BudgetInput(Frozen):
    """What one run of the ledger's workflow starts with: its limits alone at first, the last run's state afterwards.

    spent, adopted: as LedgerState.new, for a ledger in place of one that was ended.
    outbox: replies not sent yet. next_tick: when the ledger looks at the clock again.
    continue_after_events: length of a run's history. sweep_every: how often holders are looked after unasked.
    """

    limits: Limits
    spent: bool = False
    adopted: tuple[Account, ...] = ()
    state: LedgerState | None = None
    outbox: tuple[Reply, ...] = ()
    next_tick: AwareDatetime | None = None
    continue_after_events: int = Field(1_000, ge=20, le=4_000)
    sweep_every: timedelta = Field(timedelta(minutes=3), ge=timedelta(seconds=1))
