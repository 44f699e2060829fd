"""A ledger in place of one that was ended: nothing is granted that the ended one may have granted before."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.ledger import Account, BudgetInput, Closed, Granted, Ledger, LedgerState, Limits, Record

from .ledger_talk import NOON, TODAY, TOMORROW, call, closing, more, opening, swept

TEN_PAST_NOON = NOON + timedelta(minutes=10)
NEXT_NOON = NOON + timedelta(days=1)
LIMITS = Limits(tokens_per_day=1_000, max_active_cycles=2)


def granted(name: str, tokens: int, key: str | None = None) -> Granted:
    return Granted(key=key or name, cycle_id=f"cycle-{name}", run_id=f"run-{name}", tokens=tokens, usd=Decimal(0))


def taken_over(name: str, *answers: Granted, calls: tuple[Record, ...] = ()) -> Account:
    return Account.taken_over(answers or (granted(name, 600),), calls, NOON)


def restarted(*adopted: Account, at: datetime = TEN_PAST_NOON) -> Ledger:
    return Ledger(LedgerState.new(LIMITS, at, spent=True, adopted=adopted))


def figures(books: Ledger, now: datetime) -> tuple[int, int, int]:
    """Settled, charged and held of the day, in tokens."""
    status = books.views.status(now)
    return status.tokens_settled, status.tokens_charged, status.tokens_held


def answers(books: Ledger, name: str, tokens: int, now: datetime) -> list[str]:
    """What somebody hears who asks and does not wait, once a sweep has found that all holders go on."""
    replies = books.open(opening(name, tokens, at=now), now) + swept(books, now=now)
    return [reply.kind for reply in replies]


def test_what_an_adopted_envelope_holds_is_not_granted_again_on_the_next_day() -> None:
    books = restarted(taken_over("a", calls=(call("a", 1, 100), call("a", 2, 50, lost=True))))
    assert figures(books, TEN_PAST_NOON) == (0, 1_000, 450)
    assert answers(books, "b", 1, TEN_PAST_NOON) == ["refused"]
    assert answers(books, "c", 551, NEXT_NOON) == ["refused"]
    assert answers(books, "d", 550, NEXT_NOON) == ["granted"]
    books.record(call("a", 3, 450, days=(TOMORROW,)), NEXT_NOON)
    books.record(call("d", 1, 550, days=(TOMORROW,)), NEXT_NOON)
    assert figures(books, NEXT_NOON) == (1_000, 0, 0)


def test_an_adopted_envelope_keeps_its_slot() -> None:
    books = restarted(taken_over("a"), taken_over("b"))
    assert [holding.cycle_id for holding in books.views.status(NOON).active] == ["cycle-a", "cycle-b"]
    assert books.open(opening("c", wait=True), TEN_PAST_NOON)[0].kind == "queued"
    assert [reply.kind for reply in books.close(closing("a"), TEN_PAST_NOON)] == ["closed", "granted"]


def test_calls_that_the_ended_ledger_knew_count_once_and_a_close_that_counts_them_completes() -> None:
    books = restarted(taken_over("a", calls=(call("a", 1, 100), call("a", 2, 200))))
    books.record(call("a", 2, 200), TEN_PAST_NOON)  # it was on its way when its ledger ended
    assert figures(books, TEN_PAST_NOON) == (0, 1_000, 300)
    assert books.close(closing("a", calls=3), TEN_PAST_NOON) == []
    replies = books.record(call("a", 3, 40), TEN_PAST_NOON)
    assert [type(reply) for reply in replies] == [Closed]
    assert figures(books, TEN_PAST_NOON) == (40, 1_000, 0)
    assert [entry.seq for entry in books.views.entries(TODAY).entries] == [3]


def test_asks_that_the_ended_ledger_had_granted_are_answered_as_they_were() -> None:
    first, second = granted("a", 600), granted("a", 100, key="more")
    books = restarted(taken_over("a", first, second))
    assert books.open(opening("a", 600), TEN_PAST_NOON) == [first]
    assert books.top_up(more("a", 100), TEN_PAST_NOON) == [second]
    assert figures(books, TEN_PAST_NOON) == (0, 1_000, 700)


def test_a_top_up_of_an_adopted_envelope_is_granted_on_the_next_day() -> None:
    books = restarted(taken_over("a"))
    assert books.top_up(more("a", 300).model_copy(update={"usd": Decimal(0)}), TEN_PAST_NOON)[0].kind == "queued"
    assert [reply.kind for reply in books.tick(NEXT_NOON)] == ["granted"]
    assert figures(books, NEXT_NOON) == (0, 0, 900)


def test_an_adopted_envelope_whose_run_ended_is_closed_by_its_history() -> None:
    known = (call("a", 1, 100), call("a", 2, 50, lost=True))
    books = restarted(taken_over("a", calls=known))
    swept(books, "run-a", calls=(*known, call("a", 3, 70, days=(TOMORROW,))), now=NEXT_NOON)
    assert figures(books, NEXT_NOON) == (70, 0, 0)


def test_an_adopted_envelope_whose_run_ended_and_whose_history_does_not_fit_stays_charged() -> None:
    books = restarted(taken_over("a", calls=(call("a", 1, 100),)))
    swept(books, "run-a", calls=(call("a", 1, 99),), now=NEXT_NOON)
    assert figures(books, NEXT_NOON) == (0, 500, 0)


@pytest.mark.parametrize(("minutes_left", "spent"), [(17, 0), (15, 1_000), (1, 1_000)])
def test_a_restart_shortly_before_midnight_spends_the_next_day_as_well(minutes_left: int, spent: int) -> None:
    """A call of a run that ended, or was reset, may go on over midnight, and nobody holds anything for it."""
    midnight = datetime.combine(TOMORROW, datetime.min.time(), UTC)
    books = restarted(taken_over("a"), at=midnight - timedelta(minutes=minutes_left))
    books.tick(NEXT_NOON)
    assert figures(books, NEXT_NOON) == (0, spent, 600)
    assert answers(books, "b", 400, NEXT_NOON) == ["refused" if spent else "granted"]
    assert answers(books, "c", 401, NEXT_NOON + timedelta(days=1)) == ["refused"]
    books.close(closing("b"), NEXT_NOON + timedelta(days=1))
    assert answers(books, "d", 400, NEXT_NOON + timedelta(days=1)) == ["granted"]


def test_a_ledgers_beginning_can_be_written_and_read() -> None:
    accounts = taken_over("a", calls=(call("a", 1, 100),)), taken_over("b")
    start = BudgetInput(limits=LIMITS, spent=True, adopted=accounts)
    assert BudgetInput.model_validate_json(start.model_dump_json()) == start
    state = restarted(*accounts).state
    assert LedgerState.model_validate_json(state.model_dump_json()) == state
