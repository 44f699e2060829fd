"""What must hold after every step of a schedule, and what must be so when everything has arrived.

The ledger's figures are compared with the provider's bill, with the world's own sums, and with themselves.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from domain.ledger import DaySummary, LedgerState, RecordKind, TopUp
from domain.ledger_state import DayBook, End

from .ledger_accounts import NONE, Sums, amount, at_least_none, minus, none_below, plus
from .ledger_cycles import Cycle
from .ledger_world import World

MINUTE = timedelta(minutes=1)
GOES_ON = timedelta(minutes=15)
DAY = timedelta(days=1)


class Promises:
    """Watches one world; what holds only in relation to the step before is remembered here."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.before: dict[date, Sums] = {}
        self.moved_on = NONE
        self.open_before = 0

    def hold(self) -> None:
        """Raises AssertionError where a promise is broken."""
        state = self.world.ledger.state
        if self.world.ledger_heard:
            self.world.ledger_heard = False
            totals = {day: in_all(book) for day, book in state.days.items()}
            self.never_over_the_limit(state, totals)
            self.the_books_are_what_was_said(state)
            self.who_can_go_on_does(state)
            self.memory_is_bounded(state)
        self.never_under_the_bill(self.before)
        self.every_envelope_covers_what_its_run_may_have_spent(state)

    def never_under_the_bill(self, totals: dict[date, Sums]) -> None:
        biller, seen = self.world.biller, self.world.seen
        if not seen.ceilings_hold:
            return
        for day, tokens in biller.tokens.items():
            assert tokens <= seen.highest_tokens, f"{day}: billed {tokens}, over every limit"
            # A ledger knows nothing of the days before it, nor dollars of those that it counts as spent.
            if day in totals and day >= min(seen.spent, default=day):
                assert tokens <= totals[day][0], f"{day}: billed {tokens}, in the books {totals[day]}"
            if day in totals and day > max(seen.spent, default=day - DAY):
                priced = biller.usd[day, "priced"]
                assert priced <= totals[day][1], f"{day}: billed ${priced}, in the books {totals[day]}"
            if seen.highest_usd is not None:
                usd = biller.usd[day, "priced"] + biller.usd[day, "unpriced"]
                assert usd <= seen.highest_usd, f"{day}: billed ${usd}, over every limit"

    def never_over_the_limit(self, state: LedgerState, totals: dict[date, Sums]) -> None:
        """Nor further over one that was lowered; dollars that nobody knows are over any limit in dollars."""
        for day, (tokens, usd, unpriced) in totals.items():
            if day in self.world.seen.crowded or not self.world.seen.ceilings_hold:
                continue
            book, before = state.days[day], self.before.get(day, self.moved_on)
            assert tokens <= max(book.limit_tokens, before[0]), f"{day}: {tokens} tokens, over {book.limit_tokens}"
            if book.limit_usd is not None:
                allowed = before[1] if unpriced else max(book.limit_usd, before[1])
                assert usd <= allowed, f"{day}: ${usd}, over ${book.limit_usd} or beside {unpriced} without a price"
                assert unpriced <= before[2], f"{day}: {unpriced} tokens without a price under a limit in dollars"
        for day in self.binding(state):
            if day in state.days:
                limits = state.days[day].limit_tokens, state.days[day].limit_usd
                assert limits == (state.limits.tokens_per_day, state.limits.usd_per_day)
        slots = 0 if state.paused else state.limits.max_active_cycles
        most = max(slots, self.open_before, self.world.seen.adopted)
        assert len(state.accounts) <= most, f"{len(state.accounts)} cycles at once, {most} allowed"
        self.world.seen.adopted = 0
        self.before = totals
        self.open_before = len(state.accounts)
        held = state.days[state.day].held if state.day in state.days else None
        self.moved_on = (held.tokens, held.usd, held.unpriced) if held else NONE

    def the_books_are_what_was_said(self, state: LedgerState) -> None:
        seen = self.world.seen
        assert state.limits == seen.limits
        assert (state.paused is not None) == seen.paused
        assert [(ask.run_id, ask.key) for ask in state.waiting] == list(seen.waiting), "the queue"
        assert {account.run_id for account in state.accounts.values()} == set(seen.open), "who holds"
        lost = NONE
        for held in seen.forfeited.values():
            lost = plus(lost, at_least_none(minus(held.granted, held.booked)))
        for day, book in state.days.items():
            settled = seen.by_kind[RecordKind.SETTLED].get(day, NONE)
            charged = seen.by_kind[RecordKind.CHARGED].get(day, NONE)
            in_books = (book.settled.tokens, book.settled.usd, book.settled.unpriced)
            said = plus(charged, seen.spent.get(day, NONE))
            more = minus((book.charged.tokens, book.charged.usd, book.charged.unpriced), said)
            assert none_below(more), f"{day}: {charged} were charged, and are not in the books"
            if seen.forgetful:
                assert none_below(minus(in_books, settled)), f"{day}: settled {in_books}, said {settled}"
            else:
                assert in_books == settled, f"{day}: settled {in_books}, said {settled}"
                fits = none_below(minus(lost, more)) or not seen.ceilings_hold
                assert fits, f"{day}: {more} stays charged, and {lost} was forfeited"
                assert book.calls == seen.calls.get(day, 0)
            assert none_below((book.held.tokens, book.held.usd, book.held.unpriced))
        assert [f"{run}/{key}" for run, key in seen.refusals][-seen.bounds.refused :] == list(state.refused)
        assert seen.forgetful or state.overrun_tokens == seen.overrun
        assert state.day in state.days or not state.days, "a day has begun, and has no book"

    def every_envelope_covers_what_its_run_may_have_spent(self, state: LedgerState) -> None:
        seen = self.world.seen
        known_from = min(seen.spent, default=state.day - seen.bounds.days * DAY)
        for account in state.accounts.values():
            held, known = account.held[state.day], seen.open[account.run_id]
            assert none_below((held.tokens, held.usd, held.unpriced))
            assert (account.granted.tokens, account.granted.usd, account.granted.unpriced) == known.granted
            booked = account.settled + account.charged
            assert (booked.tokens, booked.usd, booked.unpriced) == known.booked
            cycle = self.world.cycles[account.run_id]
            if not seen.ceilings_hold:
                continue
            assert account.granted == booked + held
            if cycle.envelope is None:
                continue
            for day, (tokens, usd, _) in self.unknown(cycle).items():
                if day in state.days and day >= known_from:
                    kept = account.held[day]
                    assert tokens <= kept.tokens, f"{account.run_id} may have spent {tokens} on {day}: {kept}"
                    assert usd <= kept.usd, f"{account.run_id} may have spent ${usd} on {day}: {kept}"
            if cycle.alive:
                spendable = 0
                for phase, left in cycle.left.items():
                    assert cycle.envelope.free(phase) == left >= 0, f"{phase}: {left} left"
                    spendable += left
                free = cycle.envelope.free_usd
                assert free is None or free == (cycle.price or 0) * spendable
                assert spendable <= held.tokens
        for account in () if seen.forgetful else state.ended.values():
            if not seen.ceilings_hold:
                continue
            if account.run_id in seen.forfeited:
                assert account.end is End.FORFEITED
                for day, (tokens, usd, _) in self.unknown(self.world.cycles[account.run_id]).items():
                    if day in state.days and day >= known_from:
                        kept = account.forfeited[day]
                        assert (tokens <= kept.tokens, usd <= kept.usd) == (True, True), f"{account.run_id}: {kept}"
            else:
                assert not account.forfeited, f"{account.run_id} told all of its calls"

    def unknown(self, cycle: Cycle) -> dict[date, Sums]:
        """What the run may have spent on each day without the ledger's knowing it yet, its calls in flight included."""
        seen, may_have = self.world.seen, dict[date, Sums]()
        for record in cycle.records:
            if (record.run_id, record.envelope_key, record.seq) not in seen.booked:
                for day in record.days:
                    may_have[day] = plus(may_have.get(day, NONE), amount(record.tokens, record.usd))
        until = self.world.cycles_now if cycle.ended_at is None else cycle.ended_at + GOES_ON
        for ticket in cycle.flying:
            day, last = (ticket.taken_at - MINUTE).date(), (until + MINUTE).date()
            while day <= last:
                may_have[day] = plus(may_have.get(day, NONE), amount(ticket.tokens, ticket.usd))
                day += DAY
        return may_have

    def who_can_go_on_does(self, state: LedgerState) -> None:
        """After a message that may have made room nobody waits who could be served."""
        seen = self.world.seen
        if any(not seen.asks[key].wait for key in seen.waiting):
            assert state.sweep_wanted or self.world.sweep is not None, "who won't wait gets no answer"
        ask, self.world.asked = self.world.asked, None
        refused, self.world.refused = self.world.refused, []
        if seen.paused:
            return
        slot_free = len(state.accounts) < state.limits.max_active_cycles
        if ask:
            key = (ask.run_id, ask.key)
            if key in seen.waiting and isinstance(ask, TopUp):
                assert not self.fits(key, state), "a top-up fits, and was not granted"
            if slot_free and key in seen.waiting and not any(seen.possible(one) for one in seen.waiting if one != key):
                assert not self.fits(key, state), f"{key} fits, and was not granted"
            assert ask.tokens or key not in seen.waiting or not slot_free, "who needs nothing waits for funds"
        if slot_free and not any(seen.possible(key) for key in seen.waiting):
            for reply in refused:
                assert not self.fits((reply.run_id, reply.key), state), f"{reply.key} fits, and was refused"
        if not seen.served:
            return
        top_ups = [key for key in seen.waiting if key[1] != seen.asks_of(key[0])]
        openings = [key for key in seen.waiting if key not in top_ups]
        assert not any(self.fits(key, state) for key in top_ups), "a top-up fits, and waits"
        blocked = any(seen.asks[key].tokens and seen.possible(key) for key in top_ups)
        if slot_free:
            for key in openings:
                assert (blocked and seen.asks[key].tokens) or not self.fits(key, state), f"{key} fits, and waits"
                blocked = blocked or seen.possible(key)

    def binding(self, state: LedgerState) -> list[date]:
        """The days on which something granted now may be billed."""
        first = min(state.day, (self.world.now - MINUTE).date())
        return [first + n * DAY for n in range((state.day - first).days + 1)]

    def fits(self, key: tuple[str, str], state: LedgerState) -> bool:
        ask = self.world.seen.asks[key]
        if not ask.tokens:
            return True
        for day in self.binding(state):
            tokens, usd, unpriced = self.before.get(day, NONE)
            if tokens + ask.tokens > state.limits.tokens_per_day:
                return False
            if state.limits.usd_per_day is not None and (
                unpriced or ask.usd is None or usd + ask.usd > state.limits.usd_per_day
            ):
                return False
        return True

    def memory_is_bounded(self, state: LedgerState) -> None:
        bounds = self.world.seen.bounds
        assert len(state.refused) <= bounds.refused
        assert len(state.ended) <= bounds.ended
        assert len(state.entries) <= bounds.entries + 1  # the newest is folded with the next message
        assert all(state.day - day < bounds.days * DAY for day in state.days)
        assert sum(ask.wait for ask in state.waiting) <= bounds.waiting
        assert sum(not ask.wait for ask in state.waiting) <= bounds.undecided
        for account in (*state.accounts.values(), *state.ended.values()):
            assert len(account.answers) <= bounds.answers
            assert account.end is None or not account.held
            assert set(account.held) | set(account.forfeited) <= set(state.days)

    def the_views_tell_it(self) -> None:
        """Entries sum to the totals by day; status, queue and history say what the books say."""
        ledger, seen = self.world.ledger, self.world.seen
        state, views = ledger.state, ledger.views
        for day, book in state.days.items():
            view = views.entries(day)
            settled = sum(entry.total_tokens for entry in view.entries if entry.state == "settled")
            charged = sum(entry.total_tokens for entry in view.entries if entry.state != "settled")
            assert settled + view.folded_settled_tokens == book.settled.tokens
            assert charged + view.folded_charged_tokens == book.charged.tokens
            one_by_one = sum(entry.state != "forfeited" for entry in view.entries)
            assert one_by_one + view.folded_calls == book.calls
        status = views.status(self.world.now)
        used = status.tokens_settled + status.tokens_charged + status.tokens_held
        assert status.tokens_remaining == max(0, status.daily_budget - used)
        assert status.tokens_used_today == status.tokens_settled + status.tokens_charged
        if status.daily_usd_budget is not None:
            used_usd = status.usd_settled + status.usd_charged + status.usd_held
            left = Decimal(0) if status.unpriced_tokens else status.daily_usd_budget - used_usd
            assert status.usd_remaining == max(Decimal(0), left)
        assert (status.usd_remaining is None) == (status.daily_usd_budget is None)
        funds = status.tokens_remaining > 0 and status.usd_remaining != 0
        assert status.budget_available == (funds and not seen.paused)
        today = (self.world.now - MINUTE).date()
        assert status.next_reset == datetime.combine(today + DAY, datetime.min.time(), UTC) + MINUTE
        assert [row.position for row in status.waiting] == list(range(1, len(seen.waiting) + 1))
        assert [row.top_up for row in status.waiting] == sorted((row.top_up for row in status.waiting), reverse=True)
        said = status.configured
        assert (said.tokens_per_day, said.max_active_cycles) == (seen.said["tokens"], seen.said["slots"])
        assert (said.usd_per_day, said.lift_usd_limit) == (seen.said["usd"], seen.said["usd"] is None)
        history = views.history()
        assert [row.day for row in history] == sorted(state.days, reverse=True)
        assert all(_of(row) == state.days[row.day].total.tokens for row in history)

    def keep_when_all_has_arrived(self) -> None:
        """Nothing is held, nobody waits; where nothing was lost, the ledger's figures are the bill."""
        world = self.world
        world.ledger.tick(world.now)
        entries = world.ledger.state.entries
        assert not entries or max(entries[0].days) >= world.ledger.state.day - DAY, "closed days fold into sums"
        assert world.seen.open == {}
        assert world.seen.waiting == {}
        assert all(not book.held for book in world.ledger.state.days.values())
        assert all(cycle.is_over for cycle in world.cycles.values())
        if not world.seen.inexact and not world.seen.forgetful:
            books = {day: book.total for day, book in world.ledger.state.days.items() if book.total.tokens}
            oldest = world.ledger.state.day - (world.seen.bounds.days - 1) * DAY
            assert {day: total.tokens for day, total in books.items()} == {
                day: tokens for day, tokens in world.biller.tokens.items() if tokens and day >= oldest
            }
            for day, total in books.items():
                assert total.usd == world.biller.usd[day, "priced"]


def in_all(book: DayBook) -> Sums:
    settled, charged, held = book.settled, book.charged, book.held
    return (
        settled.tokens + charged.tokens + held.tokens,
        settled.usd + charged.usd + held.usd,
        settled.unpriced + charged.unpriced + held.unpriced,
    )


def _of(row: DaySummary) -> int:
    return row.settled_tokens + row.charged_tokens + row.held_tokens
