"""What `research budget restart` says that it did."""

from datetime import UTC, datetime, timedelta

from client.render_budget import what_a_restart_did
from domain.ledger import Account, Granted, Ledger, LedgerState, Limits

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def account(name: str, tokens: int) -> Account:
    answer = Granted(key=name, cycle_id=name, run_id=f"run-{name}", tokens=tokens)
    return Account.taken_over([answer], [], NOON)


def said(*adopted: Account, at: datetime = NOON) -> str:
    books = Ledger(LedgerState.new(Limits(), at, spent=True, adopted=adopted))
    return what_a_restart_did(books.views.history(), adopted)


def test_the_days_that_count_as_spent_are_named() -> None:
    assert said() == (
        "a new ledger was started; counted as spent (UTC): 2026-02-28, 2026-03-01. No running cycle held anything."
    )
    late = said(at=NOON + timedelta(hours=11, minutes=50))
    assert "2026-02-28, 2026-03-01, 2026-03-02." in late


def test_the_cycles_whose_envelopes_were_taken_over_are_named_with_their_tokens() -> None:
    assert said(account("a", 90_000)).endswith("What 1 running cycle still held was taken over: a (90,000 tokens).")
    assert said(account("a", 90_000), account("b", 0)).endswith(
        "What 2 running cycles still held was taken over: a (90,000 tokens), b (0 tokens)."
    )
