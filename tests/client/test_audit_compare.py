"""What can't be said is told as such, and never taken for a difference, nor a difference for it."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from client.audit_calls import Call, InFlight, Telling
from client.audit_compare import Evidence, compare
from client.audit_report import Audit, Booked, BookedDay, BookedSums, Books, Holder, LedgerBeginning, Standing

DAY = date(2026, 11, 23)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEPT = timedelta(days=2)


def call(seq: int, tokens: int = 100, run: str = "run-1", **changes: Any) -> Call:
    """A settled call."""
    fields: dict[str, Any] = {
        "cycle_id": "cycle-1",
        "run_id": run,
        "envelope": "key",
        "seq": seq,
        "phase": "design",
        "state": "settled",
        "model": "m",
        "output_tokens": tokens,
        "total_tokens": tokens,
        "ceiling": 500,
        "at": NOON,
        "days": (DAY,),
    }
    return Call.model_validate(fields | changes)


def charged(seq: int, **changes: Any) -> Call:
    """A call whose answer was lost."""
    return call(seq, 500, state="charged", output_tokens=0, **changes)


def booked(of: Call, **changes: Any) -> Booked:
    """The call in the books."""
    fields = of.model_dump(exclude={"cycle_id", "envelope", "at"})
    return Booked.model_validate({**fields, "operation_id": of.cycle_id, "timestamp": of.at, **changes})


def telling(*calls: Call, run: str = "run-1", delivered: Iterable[Call] | None = None, **changes: Any) -> Telling:
    """An ended run whose every record was taken."""
    fields: dict[str, Any] = {"in_flight": (), "receipt": True, "reopened": False, "ended": True}
    taken = frozenset(one.identity for one in (calls if delivered is None else delivered))
    return Telling(cycle_id="cycle-1", run_id=run, calls=calls, delivered=taken, **(fields | changes))


def compared(
    tellings: Iterable[Telling],
    entries: Iterable[Booked],
    *,
    day: date = DAY,
    since: datetime = NOON - KEPT,
    unreadable: dict[str, tuple[str, str]] | None = None,
    unread: frozenset[str] = frozenset(),
    bound: int | None = None,
    before: Iterable[Booked] | None = None,
    active: tuple[str, ...] = (),
    beginning: LedgerBeginning | None = None,
    no_book: bool = False,
    at_rest: bool = True,
    **folded: int,
) -> Audit:
    """The audit of these histories and a ledger whose sums are those of its entries."""
    found = BookedDay(day=day, entries=tuple(entries), **folded)
    settled = [entry for entry in found.entries if entry.state == "settled"]
    lost = [entry for entry in found.entries if entry.state != "settled"]
    sums = BookedSums(
        day=day,
        settled_tokens=sum(entry.total_tokens for entry in settled) + found.folded_settled_tokens,
        charged_tokens=sum(entry.total_tokens for entry in lost) + found.folded_charged_tokens,
        held_tokens=0,
        settled_usd=Decimal(0),
        charged_usd=Decimal(0),
        calls=len(found.calls) + found.folded_calls,
    )
    standing = Standing(
        reset_date=DAY + timedelta(days=9),
        active=tuple(Holder(run_id=run) for run in active),
        tokens_settled=0,
        tokens_charged=0,
        invocations_today=0,
    )
    books = Books(
        before=frozenset(entry.number for entry in (found.entries if before is None else before)),
        day=found,
        sums=() if no_book else (sums,),
        standing=standing,
        beginning=beginning,
        at_rest=at_rest,
    )
    return compare(Evidence(day, tuple(tellings), unreadable or {}, unread, bound, since), books)


def unsaid(audit: Audit) -> list[tuple[str, int | None, int | None]]:
    """What is left unsaid: reason, calls and tokens; where there is no difference."""
    assert audit.equal, audit
    assert not audit.complete
    return [(one.reason, one.calls, one.tokens) for one in audit.unsaid]


def kinds(audit: Audit) -> list[str]:
    """The differences, where nothing is left unsaid."""
    assert audit.complete
    assert not audit.equal
    return [*(one.kind for one in audit.differences), *(one.name for one in audit.sums)]


def test_a_booked_call_whose_history_is_too_old_to_be_kept_can_not_be_said() -> None:
    old = booked(call(1))

    assert unsaid(compared([], [old], since=NOON + KEPT)) == [
        ("history_gone", 1, 100),
        ("history_gone", None, None),
    ]
    assert kinds(compared([], [old])) == ["invented"]


def test_a_call_that_was_booked_while_histories_were_read_can_not_be_said() -> None:
    one, two = call(1), call(2)

    found = compared([telling(one, ended=False)], [booked(one), booked(two)], before=[booked(one)])

    assert unsaid(found) == [("just_booked", 1, 100)]


def test_of_a_day_before_the_oldest_history_not_even_that_nothing_was_spent_can_be_said() -> None:
    assert unsaid(compared([], [], since=NOON)) == [("history_gone", None, None)]


def test_a_call_of_a_run_that_came_up_too_late_to_be_read_can_not_be_said() -> None:
    assert unsaid(compared([], [booked(call(1))], unread=frozenset({"run-1"}))) == [("just_booked", 1, 100)]


def test_a_call_of_a_history_that_can_not_be_read_can_not_be_said() -> None:
    found = compared([], [booked(call(1))], unreadable={"run-1": ("cycle-1", "it is nonsense")})

    assert unsaid(found) == [("history_unreadable", 1, 100)]


@pytest.mark.parametrize(("active", "ended", "said"), [(("run-1",), True, True), ((), False, True), ((), True, False)])
def test_a_record_on_its_way_can_not_be_said_while_it_may_come(
    active: tuple[str, ...], ended: bool, said: bool
) -> None:
    found = compared([telling(call(1), delivered=[], ended=ended)], [], active=active)

    if said:
        assert unsaid(found) == [("on_its_way", 1, 100)]
    else:
        assert kinds(found) == ["missing"]


def test_a_record_that_the_ledger_took_is_missing_also_while_the_cycle_runs() -> None:
    found = compared([telling(call(1), ended=False, receipt=False)], [], active=("run-1",))

    assert kinds(found) == ["missing"]


def test_calls_within_what_their_envelope_forfeited_can_not_be_said_and_more_is_a_difference() -> None:
    of_run = telling(call(1), call(2), delivered=[], receipt=False)
    lost = booked(charged(0), state="forfeited", total_tokens=200, phase="", model="")
    small = lost.model_copy(update={"total_tokens": 199})

    assert unsaid(compared([of_run], [lost])) == [("forfeited", 2, 200)]
    assert kinds(compared([of_run], [small])) == ["missing", "missing"]


def test_an_envelope_forfeited_of_a_cycle_that_ended_in_order_is_invented() -> None:
    lost = booked(charged(0), state="forfeited", total_tokens=200, phase="", model="")

    assert kinds(compared([telling()], [lost])) == ["invented"]


def test_of_a_day_that_the_ledger_keeps_no_longer_nothing_can_be_said() -> None:
    long_ago = DAY - timedelta(days=30)
    of_run = telling(call(1, days=(long_ago,)))

    found = compared([of_run], [], day=long_ago, since=NOON - timedelta(days=90), no_book=True)

    # The newest day with a book is that of the status.
    assert unsaid(found) == [("no_book", 1, 100)]


def test_a_day_without_a_book_that_the_ledger_should_have_is_a_difference() -> None:
    assert kinds(compared([telling(call(1))], [], no_book=True)) == ["missing"]


def test_a_ledger_that_counts_the_day_as_spent_covers_the_calls_before_it_and_no_later_ones() -> None:
    early, late = call(1), call(2, at=NOON + timedelta(hours=2))
    again = LedgerBeginning(since=NOON + timedelta(hours=1), spent=True)

    covered = compared([telling(early, late)], [booked(late)], beginning=again, folded_charged_tokens=500_000)
    missing = compared([telling(early, late)], [], beginning=again, folded_charged_tokens=500_000)

    assert unsaid(covered) == [("counted_as_spent", 1, 500_000)]
    assert [(one.name, one.expected, one.ledger) for one in missing.sums] == [
        ("calls kept in sum", Decimal(1), Decimal(0)),
        ("settled tokens kept in sum", Decimal(100), Decimal(0)),
    ]


@pytest.mark.parametrize(
    ("restarted", "days"),
    [(NOON, [-1, 0]), (NOON + timedelta(hours=11, minutes=43), [-1, 0]), (NOON + timedelta(hours=11.75), [-1, 0, 1])],
)
def test_a_restart_explains_what_is_charged_without_calls_only_on_the_days_that_it_spends(
    restarted: datetime, days: list[int]
) -> None:
    again = LedgerBeginning(since=restarted, spent=True)
    audits = {
        n: compared(
            [],
            [],
            day=DAY + timedelta(days=n),
            since=NOON - timedelta(days=9),
            beginning=again,
            folded_charged_tokens=9,
        )
        for n in (-2, -1, 0, 1, 2)
    }

    assert [n for n, audit in audits.items() if audit.equal] == days


def test_tokens_charged_in_sum_without_a_call_are_a_difference() -> None:
    assert kinds(compared([telling()], [], folded_charged_tokens=500)) == ["charged tokens kept in sum"]


@pytest.mark.parametrize(("more", "well"), [(1, True), (-1, False)])
def test_where_histories_may_be_gone_the_ledgers_sums_may_be_more_and_never_less(more: int, well: bool) -> None:
    found = compared([telling(call(1))], [], since=NOON, folded_calls=1 + (more > 0), folded_settled_tokens=100 + more)

    if well:
        assert unsaid(found) == [("history_gone", 2, 101), ("history_gone", None, None)]
    else:
        assert [one.name for one in found.sums] == ["settled tokens kept in sum"]


def test_a_call_in_flight_is_unsaid_on_the_days_since_it_was_asked_for() -> None:
    flying = telling(in_flight=(InFlight("run-1", 500, NOON),), ended=False, receipt=False)

    assert unsaid(compared([flying], [])) == [("in_flight", 1, 500)]
    assert compared([flying], [], day=DAY - timedelta(days=1)).complete


def test_of_a_call_of_which_two_histories_tell_either_end_may_be_booked() -> None:
    own = telling(charged(1))
    repeated = telling(call(1), run="run-2")

    assert compared([own, repeated], [booked(call(1))]).equal
    assert compared([own, repeated], [booked(charged(1))]).equal
    assert kinds(compared([own, repeated], [booked(call(1, 99))])) == ["changed"]


def test_the_second_envelope_of_a_run_may_have_calls_of_the_same_numbers() -> None:
    one, two = call(1), call(1, 200, envelope="another")

    both = compared([telling(one, two)], [booked(two), booked(one)])
    twice = compared([telling(one, two)], [booked(two), booked(two)])

    assert (both.equal, both.complete, both.calls) == (True, True, 2)
    assert kinds(twice) == ["changed"]


def test_more_cycles_than_are_read_are_told() -> None:
    assert unsaid(compared([], [], bound=5_000)) == [("too_many_cycles", None, None)]


def test_a_ledger_that_never_rests_is_not_compared_in_sum() -> None:
    assert unsaid(compared([], [], at_rest=False)) == [("never_at_rest", None, None)]


def test_a_call_counts_on_a_day_that_its_history_names_and_on_no_other() -> None:
    both = call(1, days=(DAY - timedelta(days=1), DAY))
    entries = [booked(both)]

    assert compared([telling(both, call(2, days=(DAY + timedelta(days=1),)))], entries).equal
    assert kinds(compared([telling(both)], [booked(both, days=(DAY,))])) == ["changed"]
