"""What the world has seen of the ledger, in plain sums of its own: who was answered what, what was booked when.

An amount is (tokens, dollars, tokens without a price).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from domain.ledger import (
    Bounds,
    Close,
    Closed,
    Granted,
    Ledger,
    Limits,
    Open,
    Record,
    RecordKind,
    Refusal,
    Refused,
    Reply,
    TopUp,
)

DAY = timedelta(days=1)
Sums = tuple[int, Decimal, int]
NONE: Sums = (0, Decimal(0), 0)
Key = tuple[str, str]


def amount(tokens: int, usd: Decimal | None) -> Sums:
    return (tokens, Decimal(0), tokens) if usd is None else (tokens, usd, 0)


def plus(one: Sums, other: Sums) -> Sums:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2])


def minus(one: Sums, other: Sums) -> Sums:
    return (one[0] - other[0], one[1] - other[1], one[2] - other[2])


def none_below(sums: Sums) -> bool:
    """Whether no part is below zero."""
    return sums[0] >= 0 and sums[1] >= 0 and sums[2] >= 0


def at_least_none(sums: Sums) -> Sums:
    return (max(0, sums[0]), max(Decimal(0), sums[1]), max(0, sums[2]))


@dataclass
class Held:
    """An open envelope, from outside: what was granted, and what is booked of it."""

    granted: Sums = NONE
    booked: Sums = NONE


@dataclass
class Seen:
    """The world's own books. inexact: by right the ledger may have more in its books than was billed.

    crowded: days in whose books there is, by right, more than was granted on them.
    ceilings_hold: whether every usage stays within what was granted; where not, limits and envelopes can't hold.
    spent: days that count as spent, because a ledger was restarted, with what counts. adopted: how many envelopes it
    took over. strangers: runs of which it knows nothing.
    """

    limits: Limits
    bounds: Bounds
    forgetful: bool
    ceilings_hold: bool
    overrun: int = 0
    refusals: list[Key] = field(default_factory=list)
    inexact: bool = False
    paused: bool = False
    served: bool = False
    used: dict[tuple[str, int], int] = field(default_factory=dict)
    asks: dict[Key, Open | TopUp] = field(default_factory=dict)
    waiting: dict[Key, int] = field(default_factory=dict)
    arrived: dict[Key, int] = field(default_factory=dict)
    finals: dict[Key, Granted | Refused] = field(default_factory=dict)
    open: dict[str, Held] = field(default_factory=dict)
    closes: dict[str, int] = field(default_factory=dict)
    booked: dict[tuple[str, str, int], Record] = field(default_factory=dict)
    by_kind: dict[RecordKind, dict[date, Sums]] = field(default_factory=dict)
    calls: dict[date, int] = field(default_factory=lambda: defaultdict(int))
    forfeited: dict[str, Held] = field(default_factory=dict)
    swept: dict[str, int] = field(default_factory=dict)
    crowded: set[date] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    spent: dict[date, Sums] = field(default_factory=dict)
    adopted: int = 0
    strangers: set[str] = field(default_factory=set)
    sweeps: int = 0
    ending_sweep: bool = False

    def __post_init__(self) -> None:
        self.said: dict[str, Any] = {
            "tokens": self.limits.tokens_per_day,
            "usd": self.limits.usd_per_day,
            "slots": self.limits.max_active_cycles,
        }
        self.by_kind = {kind: defaultdict(lambda: NONE) for kind in RecordKind}
        self.arrivals = count()
        self.highest_tokens = self.limits.tokens_per_day
        self.highest_usd = self.limits.usd_per_day

    def limits_are(self, limits: Limits) -> None:
        self.limits = limits
        self.highest_tokens = max(self.highest_tokens, limits.tokens_per_day)
        if self.highest_usd is not None:
            usd = limits.usd_per_day
            self.highest_usd = None if usd is None else max(self.highest_usd, usd)

    def starts_anew(
        self, adopted: Mapping[str, Sequence[Granted]], made: Sequence[Record], days: Iterable[date]
    ) -> None:
        """Another ledger, which knows of these envelopes alone, by these answers, with these calls made of them."""
        self.inexact, self.paused = True, False
        self.said = {
            "tokens": self.limits.tokens_per_day,
            "usd": self.limits.usd_per_day,
            "slots": self.limits.max_active_cycles,
        }
        self.spent = dict.fromkeys(days, amount(self.limits.tokens_per_day, self.limits.usd_per_day))
        self.crowded.update(self.spent)
        self.adopted = len(adopted)
        self.strangers.update(run_id for run_id, _ in self.asks if run_id not in adopted)
        self.strangers.update(run_id for run_id, _, _ in self.booked if run_id not in adopted)
        self.finals = {(answer.run_id, answer.key): answer for heard in adopted.values() for answer in heard}
        self.booked = {(record.run_id, record.envelope_key, record.seq): record for record in made}
        self.open = {run_id: Held() for run_id in adopted}
        for run_id, heard in adopted.items():
            for answer in heard:
                self.open[run_id].granted = plus(self.open[run_id].granted, amount(answer.tokens, answer.usd))
        for record in made:
            held = self.open[record.run_id]
            held.booked = plus(held.booked, amount(record.tokens, record.usd))
        self.by_kind = {kind: defaultdict(lambda: NONE) for kind in RecordKind}
        for old in (self.refusals, self.waiting, self.calls, self.forfeited, self.swept):
            old.clear()
        self.overrun = self.sweeps = 0

    # Messages

    def delivered(self, message: Open | TopUp | Record | Close, now: datetime, day: date) -> None:
        """A message is about to reach the ledger, whose books are on this day."""
        match message:
            case Record():
                self.books(message, now, day)
            case Close():
                self.closes[message.run_id] = message.calls
                for key in [key for key in self.waiting if key[0] == message.run_id]:
                    del self.waiting[key]
            case _:
                key = (message.run_id, message.key)
                self.asks[key] = message
                if key not in self.waiting:
                    self.arrived[key] = next(self.arrivals)

    def books(self, record: Record, now: datetime, day: date) -> date:
        """The record counts from now on, if it did not before: on its days, or the nearest that is kept.

        Returns the day on which the ledger's books are then.
        """
        name = (record.run_id, record.envelope_key, record.seq)
        latest = max(day, now.date(), min(max(record.days), now.date() + DAY))
        days = {min(max(said, latest - (self.bounds.days - 1) * DAY), latest) for said in record.days}
        forgotten = self.forgetful or record.run_id in self.strangers
        if min(record.days) < min(days) or (forgotten and record.run_id not in self.open):
            # Of days before there are no books; of an envelope that is forgotten calls and forfeits count besides.
            self.crowded.update(days)
        if name in self.booked:
            return latest
        self.booked[name] = record
        sums = amount(record.tokens, record.usd)
        for one in days:
            self.by_kind[record.kind][one] = plus(self.by_kind[record.kind][one], sums)
            self.calls[one] += 1
        self.overrun += max(0, record.tokens - record.ceiling_tokens)
        if held := self.open.get(record.run_id) or self.forfeited.get(record.run_id):
            held.booked = plus(held.booked, sums)
        return latest

    def booked_of(self, run_id: str) -> list[Record]:
        return [record for name, record in self.booked.items() if name[0] == run_id]

    def is_decided(self, message: Open | TopUp | Record | Close) -> bool:
        """Whether a repetition of this message must change nothing at all."""
        if isinstance(message, Record | Close):
            return True
        key = (message.run_id, message.key)
        return key in self.finals or key in self.waiting

    # Answers

    def told(self, replies: Sequence[Reply]) -> None:
        """The ledger's answers, as they leave it."""
        begun: list[Key] = []
        for reply in replies:
            key = (reply.run_id, reply.key)
            if isinstance(reply, Closed):
                self._closed(reply)
            elif key in self.finals:
                assert self.finals[key] == reply, "the same ask got another answer"
            elif isinstance(reply, Granted):
                self._granted(key, reply)
                begun.append(key)
            elif isinstance(reply, Refused):
                self._refused(key, reply)
            else:
                assert self.asks[key].wait, "who won't wait was queued"
                assert reply.position >= 1
        self._nobody_was_overtaken(begun)

    def _closed(self, reply: Closed) -> None:
        if reply.run_id in self.open and reply.key == self.asks_of(reply.run_id):
            assert len(self.booked_of(reply.run_id)) == self.closes[reply.run_id], (
                "closed before every record was booked"
            )
            del self.open[reply.run_id]
        else:
            assert reply.run_id in self.closes or reply.run_id in self.gone, "closed unasked"

    def asks_of(self, run_id: str) -> str:
        return next(ask.key for key, ask in self.asks.items() if key[0] == run_id and isinstance(ask, Open))

    def _granted(self, key: Key, reply: Granted) -> None:
        ask = self.asks[key]
        assert not self.paused, "granted while paused"
        assert (reply.tokens, reply.usd) == (ask.tokens, ask.usd), "granted something else than was asked"
        assert reply.cycle_id == ask.cycle_id
        self.finals[key] = reply
        self.waiting.pop(key, None)
        if isinstance(ask, Open):
            assert key[0] not in self.open, "a second envelope for one ask"
            self.open[key[0]] = Held()
        else:
            assert key[0] in self.open, "topped up what is not open"
            assert key[0] not in self.closes, "topped up what its run has closed"
        held = self.open[key[0]]
        held.granted = plus(held.granted, amount(reply.tokens, reply.usd))

    def _refused(self, key: Key, reply: Refused) -> None:
        ask = self.asks[key]
        self.finals[key] = reply
        self.refusals.append(key)
        if key in self.waiting:
            assert self.ending_sweep, "refused while it waited, without a sweep"
            assert not ask.wait, "who waits was refused"
            assert self.waiting[key] < self.sweeps, "refused by a sweep that had begun before it came"
            del self.waiting[key]
        elif isinstance(ask, TopUp) and (key[0] not in self.open or key[0] in self.closes):
            assert reply.reason is Refusal.ENVELOPE_CLOSED
        elif isinstance(ask, Open) and not self.possible(key):
            assert reply.reason is Refusal.BUDGET_EXHAUSTED
        elif ask.wait:
            assert reply.reason is Refusal.QUEUE_FULL, "who would wait was refused"
            assert sum(self.asks[other].wait for other in self.waiting) == self.bounds.waiting
        elif not self.paused:
            full = len(self.waiting) >= self.bounds.undecided
            assert full or not self.open, "refused without a look at who holds"
        assert (reply.reason is Refusal.BUDGET_PAUSED) <= self.paused
        assert (reply.reason is Refusal.QUEUE_FULL) <= ask.wait, "who won't wait hears of the queue"
        assert (reply.reason is Refusal.ACTIVE_OPERATION_EXISTS) <= (len(self.open) >= self.limits.max_active_cycles)
        assert reply.remaining == max(0, reply.limit - reply.used - reply.held)
        assert reply.deficit == max(0, ask.tokens - reply.remaining)
        assert "research budget" in reply.message or reply.reason is not Refusal.BUDGET_PAUSED

    def answered(self, ask: Open | TopUp, replies: Sequence[Reply]) -> None:
        """An ask has been answered by all of these."""
        key = (ask.run_id, ask.key)
        if key not in self.finals and not any(isinstance(reply, Closed) for reply in replies):
            assert len(replies) == ask.wait, "who waits is told so once, and who won't is told nothing yet"
            assert ask.wait or key in self.waiting or (self.open and not self.paused), (
                "who won't wait could be refused at once"
            )
            self.waiting.setdefault(key, self.sweeps)
        else:
            assert len(replies) == 1

    def _nobody_was_overtaken(self, begun: Iterable[Key]) -> None:
        for key in begun:
            ask = self.asks[key]
            if isinstance(ask, TopUp):
                continue
            for other in self.waiting:
                ahead = self.asks[other]
                if not ahead.tokens and isinstance(ahead, Open):
                    overtaken = self.arrived[other] < self.arrived[key]
                else:
                    first = isinstance(ahead, TopUp) or self.arrived[other] < self.arrived[key]
                    overtaken = bool(ask.tokens) and first and self.possible(other)
                assert not overtaken, f"{key} overtook {other}"

    def possible(self, key: Key) -> bool:
        """Whether an empty day would suffice."""
        ask = self.asks[key]
        if not ask.tokens:
            return True
        usd = self.limits.usd_per_day
        return ask.tokens <= self.limits.tokens_per_day and (usd is None or (ask.usd is not None and ask.usd <= usd))

    # Sweeps

    def reply_failed(self, run_id: str) -> None:
        """A reply could not be delivered: the next sweep asks about its run before any other."""
        if run_id in self.open:
            self.swept[run_id] = -1

    def sweep_begins(self, runs: Sequence[str]) -> None:
        self.sweeps += 1
        asked = [run for run in runs if run in self.open]
        others = [run for run in self.open if run not in runs]
        assert len(runs) == len(set(runs)) <= self.bounds.swept
        assert not others or len(asked) == self.bounds.swept
        last = [self.swept.get(run, 0) for run in asked]
        assert not others or max(last) <= min(self.swept.get(run, 0) for run in others), "some were asked again first"
        for run in asked:
            self.swept[run] = self.sweeps

    def runs_ended(self, told: Mapping[str, Sequence[Record] | None], now: datetime, day: date) -> None:
        """The ledger is about to hear that these runs have ended, with calls that fit, or without."""
        for key in [key for key in self.waiting if key[0] in told]:
            del self.waiting[key]
        for run_id in [run_id for run_id in self.open if run_id in told]:
            calls = told[run_id]
            for call in calls or ():
                day = self.books(call, now, day)
            held = self.open.pop(run_id)
            self.gone.add(run_id)
            if calls is None:
                day = max(day, (now + timedelta(minutes=16)).date())
                self.forfeited[run_id] = held

    def what_counts(self, ledger: Ledger) -> dict[str, Any]:
        """The ledger's state without what may change when somebody only asks again."""
        asked: Any = {"sweep_wanted": True, "refused": True, "accounts": {"__all__": {"checked"}}}
        return ledger.state.model_dump(exclude=asked)
