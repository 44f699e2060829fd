"""What somebody is told who has to wait or is refused: the one command that it names does what it says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from domain.ledger import Granted, Ledger, LimitsChange, Open, Queued, Refused, Reply, TopUp

from .ledger_talk import NOON, call, ledger, more, only, opening, swept

SHORTLY_BEFORE_MIDNIGHT = datetime(2026, 11, 23, 23, 58, tzinfo=UTC)
SHORTLY_AFTER_MIDNIGHT = datetime(2026, 11, 24, 0, 0, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """What a ledger of a thousand tokens hears before it is asked for something that it can't grant at once."""

    before: Sequence[Open | TopUp | LimitsChange]
    ask: Open | TopUp
    usd: str | None = None


CASES = {
    "behind an opening": Case(
        [opening("a", 1_000), opening("b", 800, wait=True)],
        opening("c", 300, wait=True),
    ),
    "behind an opening, its own funds free": Case(
        [opening("a", 600), opening("b", 800, wait=True)],
        opening("c", 300, wait=True),
    ),
    "behind a top-up": Case(
        [opening("a", 900), more("a", 500)],
        opening("c", 300, wait=True),
    ),
    "a top-up behind a top-up, and before openings": Case(
        [opening("a", 500), opening("c", 500), opening("b", 900, wait=True), more("a", 500)],
        more("c", 300),
    ),
    "short of tokens and of dollars": Case(
        [opening("a", 900, usd="0.90")],
        opening("c", 300, usd="0.25", wait=True),
        usd="1.00",
    ),
    "short of dollars": Case(
        [opening("a", 100, usd="0.90")],
        opening("c", 300, usd="0.25", wait=True),
        usd="1.00",
    ),
    "more than a whole day has": Case(
        [opening("a", 100, usd="0.90")],
        opening("c", 1_100, usd="1.10"),
        usd="1.00",
    ),
    "without a price": Case(
        [opening("a", 900, usd="0.90")],
        opening("c", 300, usd=None),
        usd="1.00",
    ),
    "after tokens without a price": Case(
        [opening("a", 10, usd=None), LimitsChange(usd_per_day=Decimal(5))],
        opening("c", 300, usd="0.10", wait=True),
    ),
    "refused while another waits": Case(
        [opening("a", 900), opening("b", 800, wait=True)],
        opening("c", 300),
    ),
    "a limit below what is held": Case(
        [opening("a", 900), LimitsChange(tokens_per_day=500)],
        opening("c", 300, wait=True),
    ),
}


def said(books: Ledger, message: Open | TopUp | LimitsChange, now: datetime = NOON) -> list[Reply]:
    """The ledger's replies; to who won't wait those after a sweep."""
    match message:
        case Open():
            return books.open(message, now) or swept(books, now=now)
        case TopUp():
            return books.top_up(message, now)
        case LimitsChange():
            return books.set_limits(message, now)


def told(replies: list[Reply]) -> str:
    """Why there is nothing yet."""
    reply = only(replies)
    assert isinstance(reply, Queued | Refused)
    return reply.message


def typed(message: str) -> LimitsChange:
    """What the message's one command sets."""
    [command] = re.findall(r"`research budget set ([^`]+)`", message)
    options = dict(re.findall(r"--(tokens|usd) (\d+(?:\.\d+)?|none)(?= |$)", command))
    assert " ".join(f"--{name} {value}" for name, value in options.items()) == command
    lift = options.get("usd") == "none"
    usd = None if lift else options.get("usd")
    return LimitsChange.model_validate(
        {"tokens_per_day": options.get("tokens"), "usd_per_day": usd, "lift_usd_limit": lift}
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_after_the_command_that_it_was_told_a_cycle_has_what_it_asked_for(case: Case) -> None:
    books = ledger(usd=case.usd)
    for one in case.before:
        said(books, one)
    message = told(said(books, case.ask))
    assert "makes room now" in message
    replies = books.set_limits(typed(message), NOON)
    if not case.ask.wait:
        replies = said(books, case.ask.model_copy(update={"key": "again"}))
    assert [reply.run_id for reply in replies if isinstance(reply, Granted)][-1] == case.ask.run_id
    assert books.views.waiting() == () or isinstance(case.ask, TopUp)


def test_around_midnight_the_command_makes_room_on_both_days() -> None:
    books = ledger(now=SHORTLY_BEFORE_MIDNIGHT)
    said(books, opening("a", 900, at=SHORTLY_BEFORE_MIDNIGHT), SHORTLY_BEFORE_MIDNIGHT)
    books.record(call("a", 1, 800), SHORTLY_BEFORE_MIDNIGHT)
    message = told(said(books, opening("c", 300, wait=True, at=SHORTLY_AFTER_MIDNIGHT), SHORTLY_AFTER_MIDNIGHT))
    assert isinstance(only(books.set_limits(typed(message), SHORTLY_AFTER_MIDNIGHT)), Granted)


def test_who_needs_a_slot_as_well_is_not_told_that_funds_suffice_now() -> None:
    books = ledger(active=2)
    said(books, opening("a", 1_000))
    said(books, opening("b", 800, wait=True))
    message = told(said(books, opening("c", 300, wait=True)))
    assert "now" not in message
    assert message.endswith("makes room for this and the 1 ahead of it, as slots come free.")
    assert [reply.run_id for reply in books.set_limits(typed(message), NOON)] == ["run-b"]


def test_long_numbers_are_written_so_that_they_can_be_read_but_not_in_what_is_typed() -> None:
    books = ledger(tokens=1_000_000)
    said(books, opening("a", 950_000))
    assert told(said(books, opening("c", 90_000, wait=True))) == (
        "90,000 tokens are needed and 50,000 of 1,000,000 are free (0 used, 950,000 held by active cycles): 40,000 too "
        "few. The day resets at 2026-11-24 00:01 UTC. `research budget set --tokens 1040000` makes room now."
    )
