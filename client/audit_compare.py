"""Histories against books: where they differ, call by call and in sum, and what nobody can say. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from client.audit_calls import GOES_ON, SKEW, Call, Identity, Number, Telling
from client.audit_report import Audit, Booked, Books, Difference, SumDifference, Unsaid

NO_RUN = "the server knows no such run of a cycle under this ledger"

DAYS_KEPT = 30
"""Days of which a ledger keeps a book."""

FIGURES: Mapping[str, Callable[[Call], object]] = {
    "operation_id": lambda call: call.cycle_id,
    "phase": lambda call: call.phase,
    "model": lambda call: call.model,
    "state": lambda call: call.state,
    "input_tokens": lambda call: call.input_tokens,
    "cache_write_tokens": lambda call: call.cache_write_tokens,
    "cache_read_tokens": lambda call: call.cache_read_tokens,
    "output_tokens": lambda call: call.output_tokens,
    "total_tokens": lambda call: call.total_tokens,
    "ceiling": lambda call: call.ceiling,
    "cost": lambda call: call.cost,
    "days": lambda call: call.days,
}
"""What must be the same, by its name in the ledger."""


@dataclass(frozen=True)
class Evidence:
    """What the server had. tellings: of the cycles under this ledger. unreadable: by run, its cycle and why.

    unread: runs that nobody has looked for, because they came up only at the end. bound: the number of cycles that were
    read, where there were more. since: cycles that ended before it are forgotten.
    """

    day: date
    tellings: tuple[Telling, ...]
    unreadable: Mapping[str, tuple[str, str]]
    unread: frozenset[str]
    bound: int | None
    since: datetime


def compare(evidence: Evidence, books: Books) -> Audit:
    """The audit of a day."""
    return _Comparison(evidence, books).audit()


class _Comparison:
    """told: for each call what histories tell of it, its own run's first; one that a reset made repeats its
    predecessor's, and may have seen another end. expected: the calls that count on the day. counted: as it came out.
    """

    def __init__(self, evidence: Evidence, books: Books) -> None:
        self.evidence = evidence
        self.books = books
        self.day = evidence.day
        self._begins = datetime.combine(self.day, time(), UTC)
        self.book = next((sums for sums in books.sums if sums.day == self.day), None)
        self.read = {telling.run_id: telling for telling in evidence.tellings}
        calls = [(telling.run_id, call) for telling in evidence.tellings for call in telling.calls]
        own = [call for run_id, call in calls if call.run_id == run_id]
        repeated = [call for run_id, call in calls if call.run_id != run_id]
        self.told: dict[Number, dict[Identity, list[Call]]] = defaultdict(lambda: defaultdict(list))
        for call in (*own, *repeated):
            self.told[call.number][call.identity].append(call)
        alone = [call for call in repeated if call.run_id not in self.read]
        self.expected = {call.identity: call for call in (*alone, *own) if self.day in call.days}
        self.counted: dict[Identity, Call] = {}
        self.differences: list[Difference] = []
        self.sums: list[SumDifference] = []
        self.unsaid: list[Unsaid] = []

    def audit(self) -> Audit:
        """The outcome; for one call."""
        self._booked()
        self._unbooked()
        self._own_sums()
        self._what_else()
        calls = self.counted.values()
        settled = [call for call in calls if call.state == "settled"]
        charged = [call for call in calls if call.state == "charged"]
        return Audit(
            day=self.day,
            equal=not self.differences and not self.sums,
            complete=not self.unsaid,
            runs_read=len(self.read),
            calls=len(calls),
            settled_tokens=_tokens(settled),
            charged_tokens=_tokens(charged),
            settled_usd=_dollars(settled),
            charged_usd=_dollars(charged),
            unpriced_tokens=_tokens(call for call in calls if call.cost is None),
            ledger=self.book,
            differences=tuple(self.differences),
            sums=tuple(self.sums),
            unsaid=tuple(self.unsaid),
            histories_since=self.evidence.since,
        )

    # What the ledger has

    def _booked(self) -> None:
        """Every call in the books has to be told of by a history, with the same figures."""
        entries = [entry for entry in self.books.day.calls if not self._match(entry, exactly=True)]
        entries = [entry for entry in entries if not self._match(entry, exactly=False)]
        strangers: dict[tuple[str, str], list[Booked]] = defaultdict(list)
        for entry in entries:
            if entry.run_id in self.evidence.unreadable:
                continue  # Said once for the run, whatever it did.
            if entry.number in self.told:
                self._differs("invented", entry, because="the ledger has it twice")
            elif entry.run_id in self.evidence.unread:
                strangers["just_booked", entry.run_id].append(entry)
            elif entry.run_id not in self.read and entry.timestamp < self.evidence.since:
                strangers["history_gone", entry.run_id].append(entry)
            elif entry.run_id not in self.read:
                self._differs("invented", entry, because=NO_RUN)
            elif entry.number not in self.books.before:
                strangers["just_booked", entry.run_id].append(entry)
            else:
                self._differs("invented", entry, because="its cycle's history tells of no such call")
        for (reason, _), found in strangers.items():
            why = (
                "the server keeps its history no longer"
                if reason == "history_gone"
                else "it was booked while the histories were read; run this again"
            )
            self._leave(reason, why, found[0].operation_id, len(found), _tokens(found))

    def _match(self, entry: Booked, *, exactly: bool) -> bool:
        """Find the entry's call among those that no other entry has."""
        for identity, calls in self.told.get(entry.number, {}).items():
            if identity in self.counted:
                continue
            same = next((call for call in calls if not self._figures(call, entry)), None)
            if same or not exactly:
                self.counted[identity] = same or calls[0]
                if same is None:
                    self._differs("changed", entry, calls[0], self._figures(calls[0], entry))
                return True
        return False

    def _figures(self, call: Call, entry: Booked) -> tuple[str, ...]:
        """The names of the figures that differ. An entry of the day has to name the day."""
        differing = tuple(name for name, of in FIGURES.items() if of(call) != getattr(entry, name))
        return differing or (() if self.day in entry.days else ("days",))

    # What the ledger has not

    def _unbooked(self) -> None:
        """Every call that a history tells of has to be in the books, or there is a reason why it can't be seen."""
        absent = [call for identity, call in self.expected.items() if identity not in self.counted]
        self.counted.update((call.identity, call) for call in absent)
        if self.book is None and (why := self._no_book()):
            self._leave("no_book", why, None, len(absent), _tokens(absent))
            return
        absent = self._without(absent, self._on_its_way, "on_its_way", "the cycle has yet to tell the ledger of it")
        absent = self._not_forfeited(absent)
        if self.books.day.folded_calls or self.books.day.folded_settled_tokens or self.books.day.folded_charged_tokens:
            self._folded(absent)
            return
        for call in absent:
            self._lacks(call)

    def _without(self, calls: list[Call], out: Callable[[Call], bool], reason: str, why: str) -> list[Call]:
        """The calls for which this is not the reason; of the others it is said once a cycle."""
        by_cycle: dict[str, list[Call]] = defaultdict(list)
        for call in calls:
            if out(call):
                by_cycle[call.cycle_id].append(call)
        for cycle_id, found in by_cycle.items():
            self._leave(reason, why, cycle_id, len(found), _tokens(found))
        return [call for call in calls if not out(call)]

    def _on_its_way(self, call: Call) -> bool:
        """The record may still come: the run goes on, or has ended without the ledger's having looked at it yet."""
        if any(call.identity in telling.delivered for telling in self.evidence.tellings):
            return False
        telling = self.read.get(call.run_id)
        is_open = any(holder.run_id == call.run_id for holder in self.books.standing.active)
        return is_open or (telling is not None and not telling.ended)

    def _not_forfeited(self, absent: list[Call]) -> list[Call]:
        """Without the calls that are in what their envelope has forfeited. One that was not lost is a difference."""
        for entry in self.books.day.forfeited:
            of_run = [call for call in absent if call.run_id == entry.run_id]
            telling = self.read.get(entry.run_id)
            if telling and self._not_lost(telling) and entry.number in self.books.before:
                why = "it ended with the ledger's receipt" if telling.receipt else "its cycle still runs"
                self._differs("invented", entry, because=f"an envelope counts as forfeited, but {why}")
            elif (
                telling is None
                and entry.run_id not in self.evidence.unreadable
                and entry.timestamp > self.evidence.since
            ):
                self._differs("invented", entry, because=NO_RUN)
            elif _tokens(of_run) <= entry.total_tokens:
                why = "its envelope was forfeited whole, since its history could not be read when it had ended"
                self._leave("forfeited", why, entry.operation_id, len(of_run), entry.total_tokens)
                absent = [call for call in absent if call not in of_run]
        return absent

    def _not_lost(self, telling: Telling) -> bool:
        """Whether the ledger had no reason to give an envelope of the run up."""
        return telling.receipt or not (telling.ended or telling.reopened)

    def _folded(self, absent: list[Call]) -> None:
        """The older calls of a day, which the ledger keeps in sum: the sums are compared."""
        day, counts_as_spent = self.books.day, self._counts_as_spent()
        beginning = self.books.beginning
        if counts_as_spent and beginning:
            earlier = [call for call in absent if call.at < beginning.since]
            extra = day.folded_charged_tokens - _tokens(c for c in absent if c.state == "charged" and c not in earlier)
            why = (
                f"the ledger was started again at {beginning.since:%Y-%m-%d %H:%M} UTC in place of one that was ended, "
                "and counts this day as spent; calls from before that can't be compared one by one"
            )
            self._leave("counted_as_spent", why, None, len(earlier), max(0, extra))
            absent = [call for call in absent if call not in earlier]
        settled = [call for call in absent if call.state == "settled"]
        charged = [call for call in absent if call.state == "charged"]
        rows = [
            ("calls kept in sum", len(absent), day.folded_calls),
            ("settled tokens kept in sum", _tokens(settled), day.folded_settled_tokens),
            ("charged tokens kept in sum", _tokens(charged), day.folded_charged_tokens),
        ]
        if counts_as_spent:
            rows = [row for row in rows if row[2] < row[1]]
        if any(told != ledger for _, told, ledger in rows):
            if self._may_lack_histories() and all(told <= ledger for _, told, ledger in rows):
                why = "the ledger keeps them in sum, and not every history of that day can be read any more"
                self._leave("history_gone", why, None, day.folded_calls, rows[1][2] + rows[2][2])
                return
            self.sums += [
                SumDifference(name=name, made_of="the histories' calls", expected=Decimal(told), ledger=Decimal(ledger))
                for name, told, ledger in rows
                if told != ledger
            ]
        elif day.folded_calls:
            why = "the ledger keeps them in sum only; the sum is right, single calls can't be compared"
            self._leave("folded", why, None, day.folded_calls, day.folded_settled_tokens + day.folded_charged_tokens)

    def _counts_as_spent(self) -> bool:
        beginning = self.books.beginning
        if beginning is None or not beginning.spent:
            return False
        # Into the last of these days a call may have gone on that was in flight when its run ended.
        started = beginning.since.astimezone(UTC)
        last = (started + GOES_ON + SKEW).date()
        return started.date() - timedelta(days=1) <= self.day <= last

    def _may_lack_histories(self) -> bool:
        return bool(self.evidence.unreadable) or self.evidence.bound is not None or self._begins < self.evidence.since

    def _no_book(self) -> str | None:
        """Why there is no book of the day, where that is in order."""
        newest = max((sums.day for sums in self.books.sums), default=self.books.standing.reset_date)
        if self.day <= newest - timedelta(days=DAYS_KEPT):
            return f"the ledger keeps books of {DAYS_KEPT} days"
        beginning = self.books.beginning
        if beginning and self.day < beginning.since.astimezone(UTC).date():
            return f"the ledger that runs was started only at {beginning.since:%Y-%m-%d %H:%M} UTC"
        return None

    # The ledger's sums

    def _own_sums(self) -> None:
        """What the ledger shows as sums has to be the sums of its entries."""
        if not self.books.at_rest:
            self._leave("never_at_rest", "the ledger went on booking, so its sums were not compared with its entries")
            return
        day, standing = self.books.day, self.books.standing
        settled = [entry for entry in day.calls if entry.state == "settled"]
        charged = [entry for entry in day.entries if entry.state != "settled"]
        rows = [
            ("calls", len(day.calls) + day.folded_calls, "calls", "invocations_today"),
            ("settled tokens", _tokens(settled) + day.folded_settled_tokens, "settled_tokens", "tokens_settled"),
            ("charged tokens", _tokens(charged) + day.folded_charged_tokens, "charged_tokens", "tokens_charged"),
        ]
        for name, expected, in_history, in_status in rows:
            self._sum(f"{name} in the history of days", expected, getattr(self.book, in_history, 0))
            if standing.reset_date == self.day:
                self._sum(f"{name} in the status", expected, getattr(standing, in_status))
        if self.book and not (day.folded_calls or day.folded_settled_tokens or day.folded_charged_tokens):
            self._sum("settled dollars in the history of days", _dollars(settled), self.book.settled_usd)
            self._sum("charged dollars in the history of days", _dollars(charged), self.book.charged_usd)

    def _sum(self, name: str, expected: int | Decimal, ledger: int | Decimal) -> None:
        if expected != ledger:
            self.sums.append(
                SumDifference(name=name, made_of="its entries", expected=Decimal(expected), ledger=Decimal(ledger))
            )

    # What can't be said

    def _what_else(self) -> None:
        seen: set[str] = set()
        for telling in self.evidence.tellings:
            flying = [
                one
                for one in telling.in_flight
                if one.run_id == telling.run_id and (one.taken_at - SKEW).date() <= self.day
            ]
            if flying and telling.run_id not in seen:
                seen.add(telling.run_id)
                why = "in flight: held in the cycle's envelope, and known when it is answered"
                self._leave("in_flight", why, telling.cycle_id, len(flying), sum(one.ceiling for one in flying))
        for run_id, (cycle_id, why) in self.evidence.unreadable.items():
            booked = [entry for entry in self.books.day.calls if entry.run_id == run_id]
            why = f"the history of run {run_id} can't be read: {why}"
            self._leave("history_unreadable", why, cycle_id, len(booked), _tokens(booked))
        if self._begins < self.evidence.since:
            since = f"{self.evidence.since:%Y-%m-%d %H:%M} UTC"
            self._leave("history_gone", f"of cycles that ended before {since} the server has no history any more")
        if self.evidence.bound is not None:
            self._leave("too_many_cycles", f"more than {self.evidence.bound:,} cycles touch the day; no more were read")

    def _differs(
        self, kind: str, entry: Booked, call: Call | None = None, figures: tuple[str, ...] = (), because: str = ""
    ) -> None:
        self.differences.append(
            Difference.model_validate(
                {
                    "kind": kind,
                    "cycle_id": entry.operation_id,
                    "run_id": entry.run_id,
                    "seq": entry.seq,
                    "phase": entry.phase,
                    "figures": figures,
                    "history": call,
                    "ledger": entry,
                    "because": because,
                }
            )
        )

    def _lacks(self, call: Call) -> None:
        delivered = any(call.identity in telling.delivered for telling in self.evidence.tellings)
        self.differences.append(
            Difference(
                kind="missing",
                cycle_id=call.cycle_id,
                run_id=call.run_id,
                seq=call.seq,
                phase=call.phase,
                history=call,
                because="the ledger was told of it" if delivered else "the ledger was not told of it",
            )
        )

    def _leave(
        self,
        reason: str,
        message: str,
        cycle_id: str | None = None,
        calls: int | None = None,
        tokens: int | None = None,
    ) -> None:
        self.unsaid.append(
            Unsaid.model_validate(
                {"reason": reason, "message": message, "cycle_id": cycle_id, "calls": calls, "tokens": tokens}
            )
        )


def _tokens(calls: Iterable[Call | Booked]) -> int:
    return sum(call.total_tokens for call in calls)


def _dollars(calls: Iterable[Call | Booked]) -> Decimal:
    return sum((call.cost for call in calls if call.cost is not None), Decimal(0))
