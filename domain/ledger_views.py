"""What people and cycles are told of a ledger's state: status, queue, entries, history, and why something must wait."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import takewhile

from domain.ledger_books import Books
from domain.ledger_messages import (
    CLOCK_SKEW,
    BudgetStatus,
    DayEntries,
    DaySummary,
    Entry,
    Holding,
    Queued,
    Refusal,
    Refused,
    Waiting,
)
from domain.ledger_state import NOTHING, Amount, Ask, DayBook, LedgerState

MAX_IDS = 40
"""Active cycles that a refusal names."""


class LedgerViews:
    """Reads a state, and changes nothing that counts. Figures are of the day that decides (Books.tightest)."""

    def __init__(self, state: LedgerState, books: Books) -> None:
        self.state = state
        self.books = books

    def status(self, now: datetime) -> BudgetStatus:
        """The day at one glance."""
        day = self.books.tightest(now)
        book = self.state.peek(day)
        funds = book.free_tokens > 0 and (book.free_usd is None or book.free_usd > 0)
        return BudgetStatus(
            daily_budget=book.limit_tokens,
            tokens_used_today=book.settled.tokens + book.charged.tokens,
            tokens_remaining=book.free_tokens,
            budget_available=funds and self.state.paused is None,
            reset_date=day,
            invocations_today=book.calls,
            tokens_settled=book.settled.tokens,
            tokens_charged=book.charged.tokens,
            tokens_held=book.held.tokens,
            daily_usd_budget=book.limit_usd,
            usd_settled=book.settled.usd,
            usd_charged=book.charged.usd,
            usd_held=book.held.usd,
            usd_remaining=book.free_usd,
            unpriced_tokens=book.total.unpriced,
            next_reset=next_reset(now),
            max_active_cycles=self.state.limits.max_active_cycles,
            active=tuple(
                Holding(
                    cycle_id=account.cycle_id,
                    run_id=account.run_id,
                    since=account.since,
                    granted=account.granted.tokens,
                    settled=account.settled.tokens,
                    charged=account.charged.tokens,
                    held=account.held.get(self.state.day, NOTHING).tokens,
                )
                for account in self.state.accounts.values()
            ),
            waiting=self.waiting(),
            configured=self.state.configured,
            paused=self.state.paused,
            overrun_tokens=self.state.overrun_tokens,
        )

    def waiting(self) -> tuple[Waiting, ...]:
        """The queue in the order in which it is served."""
        return tuple(
            Waiting(
                cycle_id=ask.cycle_id,
                run_id=ask.run_id,
                position=position,
                top_up=ask.envelope_key is not None,
                tokens=ask.tokens,
                since=ask.since,
            )
            for position, ask in enumerate(self._queue(), start=1)
        )

    def entries(self, day: date) -> DayEntries:
        """A day's calls, and what was forfeited on it; empty for a day without a book."""
        book = self.state.days.get(day)
        if book is None:
            return DayEntries(day=day, entries=())
        forfeited = tuple(
            Entry(
                timestamp=account.ended_at or account.since,
                operation_id=account.cycle_id,
                run_id=account.run_id,
                seq=0,
                phase="",
                model="",
                state="forfeited",
                total_tokens=account.forfeited[day].tokens,
                ceiling=account.forfeited[day].tokens,
                cost=None if account.forfeited[day].unpriced else account.forfeited[day].usd,
                days=(day,),
            )
            for account in self.state.ended.values()
            if account.forfeited.get(day)
        )
        return DayEntries(
            day=day,
            entries=(*(entry for entry in self.state.entries if day in entry.days), *forfeited),
            folded_calls=book.folded_calls,
            folded_settled_tokens=book.folded_settled.tokens,
            folded_charged_tokens=book.folded_charged.tokens,
        )

    def history(self) -> tuple[DaySummary, ...]:
        """The sums of the days in the books, newest first."""
        return tuple(
            DaySummary(
                day=day,
                limit_tokens=book.limit_tokens,
                limit_usd=book.limit_usd,
                settled_tokens=book.settled.tokens,
                charged_tokens=book.charged.tokens,
                held_tokens=book.held.tokens,
                settled_usd=book.settled.usd,
                charged_usd=book.charged.usd,
                held_usd=book.held.usd,
                unpriced_tokens=book.total.unpriced,
                calls=book.calls,
            )
            for day, book in sorted(self.state.days.items(), reverse=True)
        )

    def refused(self, ask: Ask, reason: Refusal, now: datetime) -> Refused:
        """The answer no, with everything that a person needs to mend it."""
        return Refused.model_validate(self._not_now(ask, reason, now))

    def queued(self, ask: Ask, reason: Refusal, now: datetime) -> Queued:
        """The answer later, with the place in the queue."""
        place = next((n for n, other in enumerate(self._queue(), start=1) if other is ask), 1)
        return Queued.model_validate({**self._not_now(ask, reason, now), "position": place})

    def _queue(self) -> list[Ask]:
        """Top-ups of running cycles first; otherwise as they came."""
        return sorted(self.state.waiting, key=lambda ask: ask.envelope_key is None)

    def _not_now(self, ask: Ask, reason: Refusal, now: datetime) -> dict[str, object]:
        book = self.state.peek(self.books.tightest(now))
        return {
            "key": ask.key,
            "cycle_id": ask.cycle_id,
            "run_id": ask.run_id,
            "reason": reason,
            "message": self._explained(ask, reason, now),
            "used": book.settled.tokens + book.charged.tokens,
            "held": book.held.tokens,
            "remaining": book.free_tokens,
            "deficit": max(0, ask.tokens - book.free_tokens),
            "limit": book.limit_tokens,
            "next_reset": next_reset(now),
            "active_ids": tuple(account.cycle_id for account in self.state.accounts.values())[:MAX_IDS],
        }

    def _explained(self, ask: Ask, reason: Refusal, now: datetime) -> str:
        active = [account.cycle_id for account in self.state.accounts.values()]
        match reason:
            case Refusal.BUDGET_PAUSED:
                return f"The budget is paused ({self.state.paused}). `research budget resume` lifts the pause."
            case Refusal.QUEUE_FULL:
                return (
                    f"{len(self.state.waiting)} cycles wait already, and no more can. Try again when some have begun."
                )
            case Refusal.ACTIVE_OPERATION_EXISTS:
                named = ", ".join(active[:3]) + (f" and {len(active) - 3} more" if len(active) > 3 else "")
                then = (
                    "The turn comes when one of them ends."
                    if ask.wait
                    else "Wait, start with --queue to take the next turn, or end one: `research cancel CYCLE`."
                )
                return f"{len(active)} of {self.state.limits.max_active_cycles} cycles are active ({named}). {then}"
            case Refusal.ENVELOPE_CLOSED:
                return (
                    "The envelope to top up is not open here: it was closed, or belongs to a run or a ledger before "
                    "this."
                )
            case Refusal.BUDGET_EXHAUSTED:
                return self._what_funds_lack(ask, now)

    def _what_funds_lack(self, ask: Ask, now: datetime) -> str:
        books = [self.state.peek(day) for day in self.books.binding(now)]
        book = self.state.peek(self.books.tightest(now))
        ahead = self._ahead(ask)
        spent = f"{book.settled.tokens + book.charged.tokens:,} used, {book.held.tokens:,} held by active cycles"
        lacks = []
        if ask.tokens > book.limit_tokens:
            lacks.append(f"{ask.tokens:,} tokens are needed, more than a whole day's limit of {book.limit_tokens:,}.")
        elif ask.tokens > book.free_tokens:
            lacks.append(
                f"{ask.tokens:,} tokens are needed and {book.free_tokens:,} of {book.limit_tokens:,} are free "
                f"({spent}): {ask.tokens - book.free_tokens:,} too few."
            )
        if lack := _dollars_lack(ask.amount, min(books, key=lambda book: book.free_usd or Decimal(0))):
            lacks.append(lack)
        if not lacks:
            lacks.append(f"Funds go first to the {len(ahead)} ahead of it in the queue ({spent}).")
        if DayBook(limit_tokens=book.limit_tokens, limit_usd=book.limit_usd).fits(ask.amount):
            lacks.append(f"The day resets at {next_reset(now):%Y-%m-%d %H:%M} UTC.")
        return " ".join([*lacks, *self._room(ask, ahead, books)])

    def _ahead(self, ask: Ask) -> list[Ask]:
        """Who is served before it; for one that is not in the queue, as if it came to its end."""
        top_up = ask.envelope_key is not None
        before = takewhile(lambda other: other is not ask, self._queue())
        return [other for other in before if other.envelope_key is not None or not top_up]

    def _room(self, ask: Ask, ahead: list[Ask], books: list[DayBook]) -> list[str]:
        """The one command after which the days' funds suffice for this ask, and for all who are served before it."""
        needed = sum((other.amount for other in ahead), ask.amount)
        tokens = needed.tokens + max(book.total.tokens for book in books)
        usd = needed.usd + max(book.total.usd for book in books)
        limits, options = books[-1], list[str]()
        if tokens > limits.limit_tokens:
            options.append(f"--tokens {tokens}")
        if limits.limit_usd is not None:
            if ask.amount.unpriced or any(book.total.unpriced for book in books):
                options.append("--usd none")
            elif usd > limits.limit_usd:
                options.append(f"--usd {usd}")
        if not options:
            return []
        room = f"`research budget set {' '.join(options)}` makes room"
        if not ahead:
            return [f"{room} now."]
        slots = max(0, self.state.limits.max_active_cycles - len(self.state.accounts))
        at_once = sum(one.envelope_key is None for one in [*ahead, ask]) <= slots
        whom = f"for this and the {len(ahead)} ahead of it"
        return [f"{room} now {whom}." if at_once else f"{room} {whom}, as slots come free."]


def _dollars_lack(amount: Amount, book: DayBook) -> str | None:
    limit, free = book.limit_usd, book.free_usd
    if limit is None or free is None:
        return None
    if amount.unpriced:
        return f"No price is known for the model, and a limit of ${limit:,} a day is set: choose one with a price."
    if book.total.unpriced:
        return f"{book.total.unpriced:,} of the day's tokens have no price, so what is left of ${limit:,} is not known."
    if amount.usd > limit:
        return f"${amount.usd:,} are needed, more than a whole day's limit of ${limit:,}."
    return f"${amount.usd:,} are needed and ${free:,} of ${limit:,} are free." if amount.usd > free else None


def next_reset(now: datetime) -> datetime:
    """When the present day no longer binds: CLOCK_SKEW after the midnight that ends it, UTC."""
    today = (now - CLOCK_SKEW).astimezone(UTC).date()
    return datetime.combine(today + timedelta(days=1), time(), UTC) + CLOCK_SKEW
