"""Runs that ended without a word: what their history tells is booked, and what it can't tell stays charged."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.ledger import Closed, Granted, Ledger, Record, Refusal, Refused

from .ledger_talk import NOON, TODAY, TOMORROW, call, closing, ledger, more, only, opening, swept


def figures(books: Ledger, now: datetime = NOON) -> tuple[int, int, int]:
    """Settled, charged and held of the day, in tokens."""
    status = books.views.status(now)
    return status.tokens_settled, status.tokens_charged, status.tokens_held


def test_the_calls_of_an_ended_run_are_booked_and_the_rest_of_its_envelope_is_free_again() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 100), NOON)
    books.record(call("a", 1, 10), NOON)
    swept(books, "run-a", calls=(call("a", 1, 10), call("a", 2, 20), call("a", 3, 30, lost=True)))
    assert figures(books) == (30, 30, 0)
    entries = [(entry.seq, entry.state) for entry in books.views.entries(TODAY).entries]
    assert entries == [(1, "settled"), (2, "settled"), (3, "charged")]
    assert isinstance(only(books.open(opening("b", 40), NOON)), Granted)


def test_of_many_holders_the_one_that_did_not_hear_a_reply_is_asked_about_first() -> None:
    books = ledger(active=100)
    for n in range(100):
        books.open(opening(f"{n}"), NOON)
    books.reply_failed("run-70")
    assert books.state.sweep_wanted
    assert [run.run_id for run in books.begin_sweep()] == ["run-70", *(f"run-{n}" for n in range(39))]
    books.reply_failed("run-5")
    assert [run.run_id for run in books.begin_sweep()] == [
        "run-5",
        *(f"run-{n}" for n in range(39, 70)),
        *(f"run-{n}" for n in range(71, 79)),
    ]


def test_what_a_swept_run_said_before_it_ended_changes_nothing_when_it_arrives_late() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 60), NOON)
    swept(books, "run-a", calls=(call("a", 1, 10),))
    books.open(opening("b", 90), NOON)
    before = figures(books)
    assert books.record(call("a", 1, 10), NOON) == []
    assert isinstance(only(books.top_up(more("a", 0), NOON)), Refused)
    assert isinstance(only(books.open(opening("a", 60), NOON)), Closed)
    assert isinstance(only(books.close(closing("a", calls=1), NOON)), Closed)
    assert figures(books) == before == (10, 0, 90)


def test_a_forfeited_envelope_is_not_freed_by_the_close_that_comes_after() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 60), NOON)
    swept(books, "run-a")
    books.close(closing("a"), NOON)
    assert figures(books) == (0, 60, 0)


def test_a_swept_run_leaves_the_queue_with_what_it_asked_for_more() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 60), NOON)
    books.top_up(more("a", 50), NOON)
    swept(books, "run-a", calls=())
    assert books.views.waiting() == ()
    assert figures(books) == (0, 0, 0)


@pytest.mark.parametrize("end", ["closed", "swept", "closing", "unknown"])
def test_a_top_up_of_an_envelope_that_is_not_open_is_refused_for_that_and_not_for_want_of_funds(end: str) -> None:
    books = ledger(tokens=100)
    if end != "unknown":
        books.open(opening("a", 60), NOON)
    if end in ("closed", "closing"):
        books.close(closing("a", calls=1 if end == "closing" else 0), NOON)
    if end == "swept":
        swept(books, "run-a", calls=())
    refused = only(books.top_up(more("a", 10, wait=False), NOON))
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.ENVELOPE_CLOSED
    assert "not open here" in refused.message


def test_a_call_in_flight_at_the_end_counts_on_the_next_day_too_and_leads_the_ledger_there() -> None:
    late = NOON.replace(hour=23, minute=50)
    books = ledger(now=late)
    books.open(opening("a", 100, at=late), late)
    swept(books, "run-a", calls=(call("a", 1, 40, days=(TODAY, TOMORROW), lost=True),), now=late)
    rows = [(row.day, row.charged_tokens, row.held_tokens) for row in books.views.history()]
    assert rows == [(TOMORROW, 40, 0), (TODAY, 40, 0)]


def test_what_an_ended_run_held_over_midnight_is_free_on_both_days_once_its_calls_are_known() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 70), NOON)
    books.open(opening("b", 20), NOON)
    morning = datetime(2026, 11, 24, 8, tzinfo=UTC)
    swept(books, "run-a", calls=(call("a", 1, 30, days=(TODAY,)),), now=morning)
    rows = [(row.day, row.settled_tokens, row.charged_tokens, row.held_tokens) for row in books.views.history()]
    assert rows == [(TOMORROW, 0, 0, 20), (TODAY, 30, 0, 20)]


BOOKED = call("a", 1, 10)
NOT_THE_CALLS_OF_A = {
    "another run's": (BOOKED.model_copy(update={"run_id": "run-b"}), call("a", 2, 20)),
    "another envelope's": (BOOKED, call("a", 2, 20).model_copy(update={"envelope_key": "b"})),
    "with a gap": (BOOKED, call("a", 3, 20)),
    "from the second on": (call("a", 2, 20), call("a", 3, 20)),
    "one twice": (BOOKED, BOOKED, call("a", 2, 20)),
    "fewer than are booked": (),
    "other tokens than were booked": (call("a", 1, 9), call("a", 2, 20)),
    "other dollars than were booked": (BOOKED.model_copy(update={"cost_usd": Decimal(1)}), call("a", 2, 20)),
    "lost where an answer was booked": (call("a", 1, 10, lost=True), call("a", 2, 20)),
}


@pytest.mark.parametrize("calls", NOT_THE_CALLS_OF_A.values(), ids=NOT_THE_CALLS_OF_A)
def test_calls_that_do_not_fit_the_books_free_nothing(calls: tuple[Record, ...]) -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 60), NOON)
    books.record(BOOKED, NOON)
    swept(books, "run-a", calls=calls)
    assert figures(books) == (10, 50, 0)


def test_a_record_that_came_out_of_order_must_be_among_the_calls_too() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 60), NOON)
    books.record(call("a", 2, 20), NOON)
    swept(books, "run-a", calls=(call("a", 1, 10),))
    assert figures(books) == (20, 40, 0)


def test_a_history_with_fewer_calls_than_the_run_s_close_named_frees_nothing() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 60), NOON)
    books.close(closing("a", calls=2), NOON)
    swept(books, "run-a", calls=(call("a", 1, 10),))
    assert figures(books) == (0, 60, 0)


def test_a_run_that_only_waited_leads_no_day_ahead() -> None:
    late = NOON.replace(hour=23, minute=50)
    books = ledger(tokens=10, now=late)
    books.open(opening("a", 10, at=late), late)
    books.open(opening("b", 10, wait=True, at=late), late)
    swept(books, "run-b", now=late)
    assert books.state.day == TODAY
    assert books.views.waiting() == ()


def test_an_unreadable_history_is_charged_on_every_day_that_its_run_may_have_spent_on() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 70), NOON)
    late = NOON.replace(hour=23, minute=50) + timedelta(days=1)
    swept(books, "run-a", now=late)
    assert [row.charged_tokens for row in books.views.history()] == [70, 70, 70]
