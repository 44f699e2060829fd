"""The ledger's rules, one promise at a time; the properties over all orders stand in test_ledger_properties."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError

from domain.ledger import (
    BOUNDS,
    Closed,
    Granted,
    Ledger,
    LedgerState,
    Limits,
    LimitsChange,
    Queued,
    Refusal,
    Refused,
    next_reset,
)

from .ledger_talk import NOON, TODAY, TOMORROW, call, closing, ledger, more, only, opening, swept


def test_a_refusal_says_what_is_used_held_left_and_lacking_and_what_mends_it() -> None:
    books = ledger(tokens=1_000)
    books.open(opening("a", 600), NOON)
    books.record(call("a", 1, 100), NOON)
    assert books.open(opening("b", 700), NOON) == []
    refused = only(swept(books))
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.BUDGET_EXHAUSTED
    figures = (refused.used, refused.held, refused.remaining, refused.deficit, refused.limit)
    assert figures == (100, 500, 400, 300, 1_000)
    assert refused.next_reset == datetime(2026, 11, 24, 0, 1, tzinfo=UTC)
    assert refused.active_ids == ("cycle-a",)
    assert "300 too few" in refused.message
    books.set_limits(LimitsChange(tokens_per_day=1_300), NOON)
    assert "research budget set --tokens 1300" in refused.message
    assert isinstance(only(books.open(opening("c", 700), NOON)), Granted)


def test_nobody_is_refused_for_want_of_a_slot_whose_holder_has_ended() -> None:
    books = ledger(active=1)
    books.open(opening("a", 100), NOON)
    assert books.open(opening("b", 100), NOON) == []
    assert books.state.sweep_wanted
    assert isinstance(only(swept(books, "run-a")), Granted)
    status = books.views.status(NOON)
    assert (status.tokens_charged, status.tokens_held) == (100, 100)


def test_an_ask_that_comes_during_a_sweep_waits_for_the_next_one() -> None:
    books = ledger(active=1)
    books.open(opening("a"), NOON)
    books.begin_sweep()
    books.open(opening("b"), NOON)
    assert books.end_sweep([], NOON) == []
    assert books.state.sweep_wanted
    assert isinstance(only(swept(books)), Refused)


def test_a_sweep_that_could_not_ask_ends_nobody_and_still_gives_an_answer() -> None:
    books = ledger(active=1)
    books.open(opening("a", 100), NOON)
    books.open(opening("b"), NOON)
    books.begin_sweep()
    assert isinstance(only(books.end_sweep([], NOON)), Refused)
    assert [holding.cycle_id for holding in books.views.status(NOON).active] == ["cycle-a"]


def test_who_waits_behind_one_that_is_refused_goes_on_at_once() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 50), NOON)
    assert books.open(opening("b", 60), NOON) == []
    assert isinstance(only(books.open(opening("c", 40, wait=True), NOON)), Queued)
    assert [(reply.kind, reply.key) for reply in swept(books)] == [("refused", "b"), ("granted", "c")]


def test_of_two_that_a_sweep_decides_the_second_is_granted_what_the_first_left() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 50), NOON)
    books.open(opening("b", 60), NOON)
    books.open(opening("c", 40), NOON)
    assert [(reply.kind, reply.key) for reply in swept(books)] == [("refused", "b"), ("granted", "c")]


def test_a_sweep_asks_about_forty_runs_and_the_next_one_about_others() -> None:
    books = ledger(active=60)
    for number in range(60):
        books.open(opening(f"n{number}"), NOON)
    first, second = books.begin_sweep(), books.begin_sweep()
    assert len(first) == len(second) == 40
    assert len({run.run_id for run in (*first, *second)}) == 60


def test_a_free_slot_goes_to_the_first_who_waits_and_not_to_a_newcomer() -> None:
    books = ledger(tokens=100, active=2)
    books.open(opening("a", 80), NOON)
    assert isinstance(only(books.open(opening("b", 50, wait=True), NOON)), Queued)
    assert books.open(opening("c", 10), NOON) == []
    assert isinstance(only(swept(books)), Refused)
    granted = [reply.cycle_id for reply in books.close(closing("a"), NOON) if isinstance(reply, Granted)]
    assert granted == ["cycle-b"]


def test_a_cycle_that_needs_no_tokens_is_not_held_up_by_those_who_wait_for_some() -> None:
    books = ledger(tokens=100, active=5)
    books.open(opening("a", 80), NOON)
    books.open(opening("b", 50, wait=True), NOON)
    assert isinstance(only(books.open(opening("offline"), NOON)), Granted)


def test_a_running_cycle_is_topped_up_before_a_new_one_begins() -> None:
    books = ledger(tokens=100, active=3)
    books.open(opening("a", 60), NOON)
    books.open(opening("b", 40), NOON)
    books.open(opening("c", 30, wait=True), NOON)
    books.top_up(more("a", 30), NOON)
    assert [waiting.cycle_id for waiting in books.views.waiting()] == ["cycle-a", "cycle-c"]
    replies = books.close(closing("b"), NOON)
    assert [reply.cycle_id for reply in replies if isinstance(reply, Granted)] == ["cycle-a"]


def test_a_top_up_that_no_day_could_grant_holds_up_no_new_cycle() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 60), NOON)
    assert isinstance(only(books.top_up(more("a", 101), NOON)), Queued)
    assert isinstance(only(books.open(opening("b", 40), NOON)), Granted)


def test_a_cycle_that_no_day_could_grant_is_told_so_and_does_not_wait_for_a_slot() -> None:
    books = ledger(tokens=100, active=1)
    books.open(opening("a"), NOON)
    refused = only(books.open(opening("b", 101, wait=True), NOON))
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.BUDGET_EXHAUSTED
    assert "more than a whole day's limit of 100" in refused.message


def test_a_queue_has_an_end() -> None:
    books = ledger(active=1)
    books.open(opening("a"), NOON)
    for number in range(BOUNDS.waiting):
        assert isinstance(only(books.open(opening(f"n{number}", wait=True), NOON)), Queued)
    refused = only(books.open(opening("late", wait=True), NOON))
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.QUEUE_FULL


def test_a_cycle_cancelled_while_it_waits_leaves_the_queue() -> None:
    books = ledger(active=1)
    books.open(opening("a"), NOON)
    books.open(opening("b", wait=True), NOON)
    assert isinstance(only(books.close(closing("b"), NOON)), Closed)
    assert books.views.waiting() == ()
    assert [reply.kind for reply in books.close(closing("a"), NOON)] == ["closed"]


def test_a_close_that_overtakes_a_record_waits_for_it() -> None:
    books = ledger()
    books.open(opening("a", 100), NOON)
    assert books.close(closing("a", calls=1), NOON) == []
    assert books.views.status(NOON).tokens_held == 100
    assert isinstance(only(books.record(call("a", 1, 40), NOON)), Closed)
    status = books.views.status(NOON)
    assert (status.tokens_settled, status.tokens_held) == (40, 0)


def test_a_close_that_overtakes_its_open_leaves_nothing_open() -> None:
    books = ledger()
    assert isinstance(only(books.close(closing("a"), NOON)), Closed)
    assert isinstance(only(books.open(opening("a", 100), NOON)), Closed)
    assert books.views.status(NOON).active == ()


def test_the_same_ask_gets_the_same_answer() -> None:
    books = ledger(tokens=100)
    granted = books.open(opening("a", 80), NOON)
    refused = only(books.open(opening("b", 101), NOON))
    books.set_limits(LimitsChange(tokens_per_day=1_000), NOON)
    assert books.open(opening("a", 80), NOON) == granted
    assert books.open(opening("b", 101), NOON) == [refused]
    assert books.views.status(NOON).tokens_held == 80


def test_another_run_of_the_same_cycle_does_not_own_the_envelope() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 60), NOON)
    books.close(closing("a").model_copy(update={"run_id": "run-after-reset"}), NOON)
    assert books.views.status(NOON).tokens_held == 60


def test_a_late_record_of_a_forfeited_envelope_turns_charged_into_settled() -> None:
    books = ledger()
    books.open(opening("a", 100), NOON)
    swept(books, "run-a")
    books.record(call("a", 1, 30), NOON)
    status = books.views.status(NOON)
    assert (status.tokens_settled, status.tokens_charged, status.tokens_held) == (30, 70, 0)
    assert [entry.state for entry in books.views.entries(TODAY).entries] == ["settled", "forfeited"]


def test_what_a_run_had_in_flight_when_it_ended_before_midnight_counts_on_the_next_day_too() -> None:
    late = NOON.replace(hour=23, minute=50)
    books = ledger(now=late)
    books.open(opening("a", 100, at=late), late)
    swept(books, "run-a", now=late)
    assert [(row.day, row.charged_tokens) for row in books.views.history()] == [(TOMORROW, 100), (TODAY, 100)]


def test_a_record_of_an_envelope_that_nobody_knows_still_counts_once() -> None:
    books = ledger()
    books.record(call("ghost", 1, 30), NOON)
    books.record(call("ghost", 1, 30), NOON)
    assert books.views.status(NOON).tokens_settled == 30


def test_what_open_envelopes_hold_at_midnight_is_held_on_the_new_day_first() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 70), NOON)
    morning = datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert books.open(opening("b", 40, at=morning), morning) == []
    assert books.views.status(morning).tokens_held == 70


def test_who_looks_before_anybody_told_the_ledger_of_midnight_sees_the_day_in_the_books() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 70), NOON)
    status = books.views.status(NOON + timedelta(days=1))
    assert (status.reset_date, status.tokens_held) == (TODAY, 70)


def test_a_day_ends_a_minute_after_midnight_for_the_sake_of_the_provider_s_clock() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 100), NOON)
    books.record(call("a", 1, 100), NOON)
    books.close(closing("a", calls=1), NOON)
    just_after = datetime(2026, 11, 24, 0, 0, 30, tzinfo=UTC)
    assert isinstance(only(books.open(opening("b", 10, at=just_after), just_after)), Refused)
    assert next_reset(just_after) == datetime(2026, 11, 24, 0, 1, tzinfo=UTC)
    assert isinstance(only(books.open(opening("c", 10), next_reset(just_after))), Granted)


def test_a_record_dated_tomorrow_counts_there_and_opens_no_fresh_day_for_what_is_spent_today() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 100), NOON)
    books.record(call("a", 1, 100, days=(TODAY, TOMORROW), lost=True), NOON)
    assert (books.state.day, books.state.days[TOMORROW].charged.tokens) == (TOMORROW, 100)
    books.set_limits(LimitsChange(tokens_per_day=150), NOON)
    refused = books.open(opening("b", 60), NOON) or swept(books)
    assert isinstance(only(refused), Refused)


def test_a_message_dated_far_away_leads_no_further_than_tomorrow() -> None:
    books = ledger()
    books.open(opening("a", 10, at=NOON + timedelta(days=365)), NOON)
    assert books.state.day == TOMORROW


def test_a_lowered_limit_takes_nothing_back_and_grants_nothing_until_it_holds_again() -> None:
    books = ledger(tokens=100)
    books.open(opening("a", 80), NOON)
    books.set_limits(LimitsChange(tokens_per_day=50), NOON)
    status = books.views.status(NOON)
    assert (status.tokens_held, status.tokens_remaining, status.budget_available) == (80, 0, False)
    assert isinstance(only(books.open(opening("b", 1), NOON) or swept(books)), Refused)


def test_dollars_are_limited_as_tokens_are() -> None:
    books = ledger(usd="1.00")
    assert isinstance(only(books.open(opening("a", 10, usd="0.70"), NOON)), Granted)
    refused = only(books.open(opening("b", 10, usd="0.40"), NOON) or swept(books))
    assert isinstance(refused, Refused)
    assert "research budget set --usd 1.10" in refused.message


def test_under_a_dollar_limit_a_model_without_a_price_is_refused() -> None:
    books = ledger(usd="1.00")
    refused = only(books.open(opening("a", 10, usd=None), NOON))
    assert isinstance(refused, Refused)
    assert "No price is known" in refused.message


def test_a_dollar_limit_set_after_unpriced_tokens_were_granted_grants_no_more_on_that_day() -> None:
    books = ledger()
    books.open(opening("a", 10, usd=None), NOON)
    books.set_limits(LimitsChange(usd_per_day=Decimal(5)), NOON)
    refused = only(books.open(opening("b", 10, usd="0.1"), NOON) or swept(books))
    assert isinstance(refused, Refused)
    assert "no price" in refused.message


def test_usage_above_its_ceiling_is_counted_in_full_and_shown() -> None:
    books = ledger()
    books.open(opening("a", 50), NOON)
    wrong = call("a", 1, 60).model_copy(update={"ceiling_tokens": 50})
    books.record(wrong, NOON)
    status = books.views.status(NOON)
    assert (status.tokens_settled, status.tokens_held, status.overrun_tokens) == (60, 0, 10)


def test_a_ledger_restarted_by_a_person_starts_with_the_day_spent() -> None:
    books = Ledger(LedgerState.new(Limits(tokens_per_day=500), NOON, spent=True))
    assert books.views.status(NOON).tokens_charged == 500
    assert isinstance(only(books.open(opening("a", 1), NOON)), Refused)
    tomorrow = NOON + timedelta(days=1)
    assert isinstance(only(books.open(opening("b", 1, at=tomorrow), tomorrow)), Granted)


def test_a_state_whose_sums_do_not_agree_cannot_be_read() -> None:
    books = ledger()
    books.open(opening("a", 100), NOON)
    books.record(call("a", 1, 40), NOON)
    written = json.loads(books.state.model_dump_json())
    written["days"][TODAY.isoformat()]["settled"]["tokens"] = 0
    with pytest.raises(ValidationError, match="don't add up"):
        LedgerState.model_validate_json(json.dumps(written))


def test_the_state_stays_small_however_many_cycles_come_and_go() -> None:
    books = ledger(tokens=10**9)
    sizes = []
    for number in range(1_500):
        name = f"n{number:04}"
        books.open(opening(name, 10), NOON)
        books.record(call(name, 1, 5), NOON)
        books.close(closing(name, calls=1), NOON)
        if number in (800, 1_499):
            sizes.append(len(books.state.model_dump_json()))
    assert sizes[1] < sizes[0] * 1.02
    assert sizes[1] < 500_000
    assert books.views.status(NOON).tokens_settled == 7_500
    LedgerState.model_validate_json(books.state.model_dump_json())


def test_history_has_one_row_a_day_for_thirty_days() -> None:
    books = ledger()
    for number in range(40):
        now = NOON + timedelta(days=number)
        name = f"n{number}"
        books.open(opening(name, 10, at=now), now)
        books.record(call(name, 1, number, days=(now.date(),)), now)
        books.close(closing(name, calls=1), now)
    history = books.views.history()
    assert [row.settled_tokens for row in history] == list(range(39, 9, -1))
