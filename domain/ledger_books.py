"""The ledger's bookkeeping: days that follow each other, what is held, what is booked, what is remembered of the ended.

Every change of a day's settled, charged or held goes through here, together with the entry or the envelope that it
comes from, so the sums agree at every moment (LedgerState checks them whenever it is read).
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from domain.ledger_messages import CLOCK_SKEW, Entry, Granted, Record, RecordKind
from domain.ledger_state import BOUNDS, NOTHING, Account, Amount, Bounds, End, LedgerState, ask_id

_DAY = timedelta(days=1)


class Books:
    """The accounts of a state."""

    def __init__(self, state: LedgerState, bounds: Bounds = BOUNDS) -> None:
        self.state = state
        self.bounds = bounds

    def roll(self, now: datetime, said: Iterable[date] = ()) -> None:
        """Opens the days up to the later of the clock's and those that a message names. What is held moves along.

        A message can't lead further than the clock's tomorrow.
        """
        today = now.astimezone(UTC).date()
        target = max(self.state.day, today, *(min(day, today + _DAY) for day in said))
        while self.state.day < target:
            # After a long sleep the days that would not be kept anyway are passed over.
            yesterday, self.state.day = (
                self.state.day,
                max(self.state.day + _DAY, target - (self.bounds.days - 1) * _DAY),
            )
            self.state.book(self.state.day)
            for account in self.state.accounts.values():
                self._hold_on(account, self.state.day, account.held.get(yesterday, NOTHING))
        self._fold_and_prune()

    def binding(self, now: datetime) -> list[date]:
        """The days on which something granted now may be billed: usually one; around midnight, or when the books are
        ahead of the clock, two. For a reader who comes before the books were rolled it is still the day in the books.
        """
        first = min(self.state.day, (now - CLOCK_SKEW).astimezone(UTC).date())
        return [first + n * _DAY for n in range((self.state.day - first).days + 1)]

    def tightest(self, now: datetime) -> date:
        """Of the binding days, the one with the least free tokens: the day that decides."""
        return min(self.binding(now), key=lambda day: self.state.peek(day).free_tokens)

    def fits(self, amount: Amount, now: datetime) -> bool:
        """Whether the amount can be granted now: on every binding day."""
        return all(self.state.peek(day).fits(amount) for day in self.binding(now))

    def grant(self, account: Account, amount: Amount, answer: Granted, now: datetime) -> None:
        """Holds an amount in an open or new envelope, on every binding day, and keeps the answer for a repeated ask."""
        self.state.accounts[ask_id(account.run_id, account.key)] = account
        account.granted += amount
        for day in self.binding(now):
            self._hold_on(account, day, account.held.get(day, NOTHING) + amount)
        account.keep_answer(answer, self.bounds)

    def book(self, account: Account, record: Record) -> None:
        """Books one call in full on each of its days, out of what its envelope holds, or has forfeited, there.

        A day of which there is no book counts as the nearest of which there is one, never as none.
        """
        earliest = self.state.day - (self.bounds.days - 1) * _DAY
        days = tuple(sorted({min(max(day, earliest), self.state.day) for day in record.days}))
        amount = Amount.of(record.tokens, record.usd)
        settled = record.kind is RecordKind.SETTLED
        if settled:
            account.settled += amount
            self.state.overrun_tokens += max(0, record.tokens - record.ceiling_tokens)
        else:
            account.charged += amount
        for day in days:
            book = self.state.book(day)
            book.calls += 1
            if settled:
                book.settled += amount
            else:
                book.charged += amount
        for day, left in self._left_by_day(account, account.held, amount, days):
            self._hold_on(account, day, left)
        for day, left in self._left_by_day(account, account.forfeited, amount, days):
            self.state.book(day).charged += left - account.forfeited[day]
            account.forfeited[day] = left
        self.state.entries.append(_entry(record, days))

    def close(self, account: Account, now: datetime) -> None:
        """Ends an open envelope whose every record is booked: what it still holds is free again, on all days."""
        for day in account.held:
            self._hold_on(account, day, NOTHING)
        self._end(account, End.CLOSED, now)

    def forfeit(self, account: Account, now: datetime) -> None:
        """Ends an open envelope whose run ended without a word: what it holds stays charged, on all days."""
        for day, held in account.held.items():
            self._hold_on(account, day, NOTHING)
            self.state.book(day).charged += held
            account.forfeited[day] = held
        self._end(account, End.FORFEITED, now)

    def remember(self, account: Account, end: End, now: datetime) -> None:
        """Notes an envelope as ended that was never open here."""
        account.end, account.ended_at = end, now
        self.state.ended[ask_id(account.run_id, account.key)] = account
        while len(self.state.ended) > self.bounds.ended:
            oldest = self.state.ended.pop(next(iter(self.state.ended)))
            for day, amount in oldest.forfeited.items():
                self.state.book(day).folded_charged += amount

    def _end(self, account: Account, end: End, now: datetime) -> None:
        del self.state.accounts[ask_id(account.run_id, account.key)]
        account.held, account.closing = {}, None
        self.remember(account, end, now)

    def _left_by_day(
        self, account: Account, kept: dict[date, Amount], amount: Amount, days: tuple[date, ...]
    ) -> list[tuple[date, Amount]]:
        # A day that the call names loses the call's part. No day can still lose more than the envelope has left.
        return [
            (day, (before.less(amount) if day in days else before).at_most(account.unspent))
            for day, before in kept.items()
        ]

    def _hold_on(self, account: Account, day: date, amount: Amount) -> None:
        book = self.state.book(day)
        book.held += amount - account.held.get(day, NOTHING)
        account.held[day] = amount

    def _fold_and_prune(self) -> None:
        yesterday = self.state.day - _DAY
        while self.state.entries and (
            len(self.state.entries) > self.bounds.entries or max(self.state.entries[0].days) < yesterday
        ):
            entry = self.state.entries.pop(0)
            amount = Amount.of(entry.total_tokens, entry.cost)
            for day in entry.days:
                if book := self.state.days.get(day):
                    book.folded_calls += 1
                    if entry.state == "settled":
                        book.folded_settled += amount
                    else:
                        book.folded_charged += amount
        for day in [day for day in self.state.days if day <= self.state.day - self.bounds.days * _DAY]:
            del self.state.days[day]
            for account in (*self.state.accounts.values(), *self.state.ended.values()):
                account.held.pop(day, None)
                account.forfeited.pop(day, None)


def _entry(record: Record, days: tuple[date, ...]) -> Entry:
    return Entry(
        timestamp=record.at,
        operation_id=record.cycle_id,
        run_id=record.run_id,
        seq=record.seq,
        phase=record.phase,
        model=record.usage.model,
        state=record.kind.value,
        input_tokens=record.usage.input,
        cache_write_tokens=record.usage.cache_write,
        cache_read_tokens=record.usage.cache_read,
        output_tokens=record.usage.output,
        total_tokens=record.tokens,
        ceiling=record.ceiling_tokens,
        cost=record.usd,
        days=days,
    )
