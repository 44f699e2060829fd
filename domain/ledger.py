"""The budget ledger: the rules by which a day's tokens and dollars are granted to cycles, and the books of what became
of them.

Promise: what the provider bills on a UTC day never passes that day's limit: not with many cycles at once, not with a
crash at any point, not over midnight. Two levels keep it. The ledger holds a whole envelope for each cycle before the
cycle may spend (here); the cycle takes each call's ceiling out of its envelope before the call (domain.envelope).

    settled + charged + held <= limit, on every day, after every message

settled: usage known. charged: the ceiling of a call whose answer was lost, or an envelope forfeited because its run
ended without a word and without a readable history. held: inside open envelopes, free there or in flight. A limit
lowered below what was granted before is the one exception; then nothing is granted until the sum holds again.

It rests on: each request's ceiling is a true upper bound of what is billed for it; nobody else spends on the same key;
the provider's clock and ours differ by less than CLOCK_SKEW. Not promised: that a day's figures, before all its
envelopes are closed, are what was billed; they are never less.

Why it holds. A grant is one decision with no await inside. A cycle spends from its envelope only, and a reset cycle's
run doesn't own the envelope. A day ends CLOCK_SKEW after midnight: around it, a grant must fit into both days. At
midnight open envelopes are held in the new day first, and stay held in the old one until what they spent is known. A
call counts on every day on which it may have been billed. An envelope is released only when every call of its run is
in the books: by the run itself, or, once that has ended without a word, by its history. What ends otherwise stays
charged. Messages repeated or out of order change nothing: asks and envelopes are known by run and key, records by their
number.

A ledger that was ended is replaced by a person alone. The new one takes over the envelopes that running cycles still
hold; days on which the old one may have granted anything else count as spent (LedgerState.new). On these days its sums
say more than was billed, and may pass the limit.

Pure: time and messages are handed in, the replies to send are handed back. One state, serialisable and bounded.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import takewhile

from domain.ledger_books import Books
from domain.ledger_messages import (
    BUDGET_WORKFLOW,
    CLOCK_SKEW,
    PROVIDER_GOES_ON,
    BudgetStatus,
    Close,
    Closed,
    DayEntries,
    DaySummary,
    Entry,
    Granted,
    Holding,
    Limits,
    LimitsChange,
    Open,
    Queued,
    Record,
    RecordKind,
    Refusal,
    Refused,
    Reply,
    RunFate,
    RunRef,
    RunReport,
    TopUp,
    Waiting,
    budget_workflow_id,
)
from domain.ledger_state import (
    ASK_FIRST,
    BOUNDS,
    Account,
    Ask,
    Bounds,
    BudgetInput,
    DayBook,
    End,
    EnsureBudget,
    LedgerState,
    ask_id,
)
from domain.ledger_views import LedgerViews, next_reset

__all__ = [
    "BOUNDS",
    "BUDGET_WORKFLOW",
    "CLOCK_SKEW",
    "PROVIDER_GOES_ON",
    "Account",
    "Bounds",
    "BudgetInput",
    "BudgetStatus",
    "Close",
    "Closed",
    "DayEntries",
    "DaySummary",
    "EnsureBudget",
    "Entry",
    "Granted",
    "Holding",
    "Ledger",
    "LedgerState",
    "Limits",
    "LimitsChange",
    "Open",
    "Queued",
    "Record",
    "RecordKind",
    "Refusal",
    "Refused",
    "Reply",
    "RunFate",
    "RunRef",
    "RunReport",
    "TopUp",
    "Waiting",
    "budget_workflow_id",
    "next_reset",
]


class Ledger:
    """The rules over a state. Every message takes the present time and returns the replies to send, in order."""

    def __init__(self, state: LedgerState, bounds: Bounds = BOUNDS) -> None:
        self.state = state
        self.bounds = bounds
        self.books = Books(state, bounds)
        self.views = LedgerViews(state, self.books)

    # What cycles say

    def open(self, message: Open, now: datetime) -> list[Reply]:
        """A slot and an envelope: granted, refused, queued, or, while a sweep looks for ended holders, nothing yet."""
        self.books.roll(now, [message.at.astimezone(UTC).date()])
        identity = ask_id(message.run_id, message.key)
        if account := self.state.accounts.get(identity):
            return [account.answers[message.key]]
        if identity in self.state.ended:
            return [_closed(message)]
        return self._ask(_asked(message, None, now), now)

    def top_up(self, message: TopUp, now: datetime) -> list[Reply]:
        """More for an open envelope: answered as an open is, but ahead of cycles that wait to begin."""
        self.books.roll(now, [message.at.astimezone(UTC).date()])
        identity = ask_id(message.run_id, message.envelope_key)
        account = self.state.accounts.get(identity) or self.state.ended.get(identity)
        if account and message.key in account.answers:
            return [account.answers[message.key]]
        ask = _asked(message, message.envelope_key, now)
        if account is None or account.end or account.closing is not None:
            return [self.state.refused.get(ask.identity) or self._refuse(ask, Refusal.ENVELOPE_CLOSED, now)]
        return self._ask(ask, now)

    def record(self, message: Record, now: datetime) -> list[Reply]:
        """Books one call, once."""
        identity = ask_id(message.run_id, message.envelope_key)
        account = self.state.accounts.get(identity) or self.state.ended.get(identity)
        if account is None:
            # Spent from an envelope of which this ledger knows nothing, say of one before it: never "not spent".
            account = _nobody(message, message.envelope_key, now)
            self.books.remember(account, End.UNKNOWN, now)
        self._book(account, message, now)
        return self._close_if_complete(account, now) + self._serve(now)

    def close(self, message: Close, now: datetime) -> list[Reply]:
        """Gives the rest of an envelope back, or leaves the queue. Acknowledged once all its records are booked."""
        self.books.roll(now, [message.at.astimezone(UTC).date()])
        identity = ask_id(message.run_id, message.key)
        self.state.waiting = [ask for ask in self.state.waiting if not _belongs(ask, message.run_id, message.key)]
        if account := self.state.accounts.get(identity):
            account.closing = message.calls
            return self._close_if_complete(account, now) + self._serve(now)
        if identity not in self.state.ended:
            # Its opening may still be on its way: it must not open an envelope that nobody will close.
            self.books.remember(_nobody(message, message.key, now), End.CLOSED, now)
        return [_closed(message), *self._serve(now)]

    # What people say

    def set_limits(self, change: LimitsChange, now: datetime) -> list[Reply]:
        """Changes limits from the present day on; those who wait go on at once where it suffices now."""
        self.books.roll(now)
        limits = self.state.limits = change.applied(self.state.limits)
        for day in self.books.binding(now):
            book = self.state.book(day)
            book.limit_tokens, book.limit_usd = limits.tokens_per_day, limits.usd_per_day
        return self._serve(now)

    def configure(self, change: LimitsChange, now: datetime) -> list[Reply]:
        """What the settings say, told as often as somebody boots with them. Only what they did not say the last time
        is set; so a limit that a person set stands until the settings change.
        """
        news = change.unlike(self.state.configured)
        self.state.configured = news.over(self.state.configured)
        return self.set_limits(news, now)

    def pause(self, reason: str, now: datetime) -> list[Reply]:
        """Grants nothing until resume; open envelopes are spent on."""
        self.books.roll(now)
        self.state.paused = reason or "no reason given"
        return []

    def resume(self, now: datetime) -> list[Reply]:
        """Grants again, first to those who wait."""
        self.books.roll(now)
        self.state.paused = None
        return self._serve(now)

    # What time and the world say

    def tick(self, now: datetime, sweep: bool = False) -> list[Reply]:
        """Time went on. sweep: it is time to look for holders that ended without a word."""
        self.books.roll(now)
        self.state.sweep_wanted = self.state.sweep_wanted or sweep
        return self._serve(now)

    def reply_failed(self, run_id: str) -> None:
        """A reply could not be delivered, so its run may have ended. Nothing is given back for that; a sweep looks,
        and at this run first.
        """
        self.state.sweep_wanted = True
        for account in self.state.accounts.values():
            if account.run_id == run_id:
                account.checked = ASK_FIRST

    def begin_sweep(self) -> list[RunRef]:
        """The runs to ask about, first those of holders, least lately asked first; then of those who wait."""
        self.state.sweeps += 1
        self.state.sweep_wanted = False
        holders = sorted(self.state.accounts.values(), key=lambda account: account.checked)[: self.bounds.swept]
        for account in holders:
            account.checked = self.state.sweeps
        runs = {account.run_id: account.cycle_id for account in holders}
        for ask in self.state.waiting:
            if len(runs) < self.bounds.swept:
                runs.setdefault(ask.run_id, ask.cycle_id)
        return [RunRef(cycle_id=cycle_id, run_id=run_id) for run_id, cycle_id in runs.items()]

    def end_sweep(self, reports: Iterable[RunReport], now: datetime) -> list[Reply]:
        """Ends the envelopes of runs that ended, serves the queue, refuses who came before the sweep and won't wait.
        Called without reports if nobody could be asked.
        """
        self.books.roll(now)
        gone = {report.run_id: report.calls for report in reports if report.fate is RunFate.ENDED}
        self.state.waiting = [ask for ask in self.state.waiting if ask.run_id not in gone]
        for account in [account for account in self.state.accounts.values() if account.run_id in gone]:
            self._end_for(account, gone[account.run_id], now)
        replies = self._serve(now)
        while ask := next((ask for ask in self.state.waiting if not ask.wait and ask.sweep < self.state.sweeps), None):
            # Who waited behind this one may go on now.
            replies += [self._refuse(ask, self._obstacle(ask, now), now), *self._serve(now)]
        return replies

    # Deciding

    def _ask(self, ask: Ask, now: datetime) -> list[Reply]:
        if answer := self.state.refused.get(ask.identity):
            return [answer]
        known = next((other for other in self.state.waiting if other.identity == ask.identity), None)
        if known is not None:
            return [self._queued(known, now)] if known.wait else []
        reason = self._obstacle(ask, now)
        if reason is None:
            return [self._grant(ask, now)]
        if ask.envelope_key is None and not self._ever_possible(ask):
            return [self._refuse(ask, Refusal.BUDGET_EXHAUSTED, now)]
        if ask.wait and sum(other.wait for other in self.state.waiting) >= self.bounds.waiting:
            return [self._refuse(ask, Refusal.QUEUE_FULL, now)]
        # A holder may have ended without a word: nobody is refused for want of what it holds before a sweep.
        sweep_first = bool(self.state.accounts) and reason is not Refusal.BUDGET_PAUSED
        if not ask.wait and (not sweep_first or len(self.state.waiting) >= self.bounds.undecided):
            return [self._refuse(ask, reason, now)]
        ask.sweep = self.state.sweeps
        self.state.waiting.append(ask)
        self.state.sweep_wanted = self.state.sweep_wanted or sweep_first
        return [self._queued(ask, now)] if ask.wait else []

    def _obstacle(self, ask: Ask, now: datetime) -> Refusal | None:
        """What stands between an ask and its grant; for one in the queue, only those before it count."""
        if self.state.paused is not None:
            return Refusal.BUDGET_PAUSED
        opening = ask.envelope_key is None
        if opening and not self._slot_free():
            return Refusal.ACTIVE_OPERATION_EXISTS
        if not ask.amount:
            return None
        ahead = takewhile(lambda other: other is not ask, self.state.waiting)
        if opening and any(self._ever_possible(other) for other in ahead):
            return Refusal.BUDGET_EXHAUSTED
        return None if self.books.fits(ask.amount, now) else Refusal.BUDGET_EXHAUSTED

    def _serve(self, now: datetime) -> list[Reply]:
        """Grants to those who wait: any top-up that fits, so that running cycles can end and free what they hold; then
        openings in their order. What no day could grant blocks nobody, nor does want of funds block one that needs
        none.
        """
        if self.state.paused is not None or not self.state.waiting:
            return []
        served: list[Ask] = []
        replies: list[Reply] = []
        funds_awaited = False
        for ask in sorted(self.state.waiting, key=lambda ask: ask.envelope_key is None):
            if ask.envelope_key is None and not self._slot_free():
                break
            blocked = funds_awaited and ask.envelope_key is None
            if not ask.amount or (not blocked and self.books.fits(ask.amount, now)):
                served.append(ask)
                replies.append(self._grant(ask, now))
            elif self._ever_possible(ask):
                funds_awaited = True
        self.state.waiting = [ask for ask in self.state.waiting if not any(ask is one for one in served)]
        return replies

    def _ever_possible(self, ask: Ask) -> bool:
        """Whether a whole day's limits would suffice."""
        limits = self.state.limits
        return DayBook(limit_tokens=limits.tokens_per_day, limit_usd=limits.usd_per_day).fits(ask.amount)

    def _slot_free(self) -> bool:
        return len(self.state.accounts) < self.state.limits.max_active_cycles

    def _grant(self, ask: Ask, now: datetime) -> Granted:
        answer = Granted(key=ask.key, cycle_id=ask.cycle_id, run_id=ask.run_id, tokens=ask.tokens, usd=ask.usd)
        account = self.state.accounts.get(ask_id(ask.run_id, ask.envelope_key or ask.key))
        if account is None:
            account = Account(key=ask.key, cycle_id=ask.cycle_id, run_id=ask.run_id, since=now)
        self.books.grant(account, ask.amount, answer, now)
        return answer

    def _refuse(self, ask: Ask, reason: Refusal | None, now: datetime) -> Refused:
        self.state.waiting = [other for other in self.state.waiting if other is not ask]
        refused = self.views.refused(ask, reason or Refusal.BUDGET_EXHAUSTED, now)
        self.state.refused[ask.identity] = refused
        while len(self.state.refused) > self.bounds.refused:
            del self.state.refused[next(iter(self.state.refused))]
        return refused

    def _queued(self, ask: Ask, now: datetime) -> Queued:
        return self.views.queued(ask, self._obstacle(ask, now) or Refusal.BUDGET_EXHAUSTED, now)

    def _book(self, account: Account, call: Record, now: datetime) -> None:
        self.books.roll(now, call.days)
        if account.first_time(call.seq):
            self.books.book(account, call)

    def _end_for(self, account: Account, calls: tuple[Record, ...] | None, now: datetime) -> None:
        """Ends the envelope of a run that ended without a word: what its history tells is booked, and the rest is free
        again; without a history that fits the books all that it held stays charged.
        """
        if calls is not None and account.can_have_made(calls):
            for call in calls:
                self._book(account, call, now)
            self.books.close(account, now)
        else:
            # What it had in flight may be billed a while after; what it held counts on that day as well.
            self.books.roll(now, [(now + PROVIDER_GOES_ON + CLOCK_SKEW).astimezone(UTC).date()])
            self.books.forfeit(account, now)

    def _close_if_complete(self, account: Account, now: datetime) -> list[Reply]:
        if account.closing is None or account.next_seq <= account.closing:
            return []
        self.books.close(account, now)
        return [_closed(account)]


def _asked(message: Open | TopUp, envelope_key: str | None, now: datetime) -> Ask:
    return Ask(
        key=message.key,
        cycle_id=message.cycle_id,
        run_id=message.run_id,
        envelope_key=envelope_key,
        tokens=message.tokens,
        usd=message.usd,
        wait=message.wait,
        since=now,
    )


def _belongs(ask: Ask, run_id: str, envelope_key: str) -> bool:
    return ask.run_id == run_id and envelope_key in (ask.key, ask.envelope_key)


def _nobody(message: Record | Close, key: str, now: datetime) -> Account:
    return Account(key=key, cycle_id=message.cycle_id, run_id=message.run_id, since=now)


def _closed(whose: Open | Close | Account) -> Closed:
    return Closed(key=whose.key, cycle_id=whose.cycle_id, run_id=whose.run_id)
