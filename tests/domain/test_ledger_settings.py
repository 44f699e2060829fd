"""Limits have two masters: the settings of whoever boots, and people. What was changed last stands."""

from decimal import Decimal

from domain.ledger import Granted, Ledger, LedgerState, Limits, LimitsChange

from .ledger_talk import NOON, ledger, only, opening

SETTINGS = LimitsChange(tokens_per_day=1_000, lift_usd_limit=True, max_active_cycles=10)


def limits(books: Ledger) -> tuple[int, Decimal | None, int]:
    status = books.views.status(NOON)
    return status.daily_budget, status.daily_usd_budget, status.max_active_cycles


def test_what_a_person_set_stands_while_the_settings_stay_as_they_are() -> None:
    books = ledger(tokens=1_000)
    change = LimitsChange(tokens_per_day=2_000, usd_per_day=Decimal(5), max_active_cycles=3)
    books.set_limits(change, NOON)
    books.configure(SETTINGS, NOON)
    assert limits(books) == (2_000, Decimal(5), 3)


def test_settings_that_changed_go_before_what_a_person_had_set() -> None:
    books = ledger(tokens=1_000)
    books.set_limits(LimitsChange(tokens_per_day=2_000, usd_per_day=Decimal(5), max_active_cycles=3), NOON)
    books.configure(LimitsChange(tokens_per_day=1_500, usd_per_day=Decimal(7), max_active_cycles=4), NOON)
    assert limits(books) == (1_500, Decimal(7), 4)


def test_only_the_setting_that_changed_is_applied() -> None:
    books = ledger(tokens=1_000)
    books.set_limits(LimitsChange(tokens_per_day=2_000, max_active_cycles=3), NOON)
    books.configure(SETTINGS.model_copy(update={"tokens_per_day": 900}), NOON)
    assert limits(books) == (900, None, 3)


def test_a_limit_of_which_the_settings_say_nothing_stays_and_stays_remembered() -> None:
    books = ledger(tokens=1_000)
    books.configure(LimitsChange(usd_per_day=Decimal(7)), NOON)
    assert books.views.status(NOON).configured == LimitsChange(
        tokens_per_day=1_000, usd_per_day=Decimal(7), max_active_cycles=10
    )
    assert limits(books) == (1_000, Decimal(7), 10)


def test_no_dollar_limit_is_a_setting_as_any_other() -> None:
    books = ledger(tokens=1_000, usd="5")
    books.configure(SETTINGS, NOON)
    assert limits(books)[1] is None
    books.set_limits(LimitsChange(usd_per_day=Decimal(3)), NOON)
    books.configure(SETTINGS, NOON)
    assert limits(books)[1] == Decimal(3)
    books.configure(LimitsChange(usd_per_day=Decimal(4)), NOON)
    books.configure(SETTINGS, NOON)
    assert limits(books)[1] is None


def test_what_the_settings_said_is_handed_on_with_the_state() -> None:
    books = ledger(tokens=1_000)
    books.configure(LimitsChange(tokens_per_day=1_500), NOON)
    books.set_limits(LimitsChange(tokens_per_day=1_600), NOON)
    restored = Ledger(LedgerState.model_validate_json(books.state.model_dump_json()))
    restored.configure(LimitsChange(tokens_per_day=1_500), NOON)
    assert limits(restored)[0] == 1_600


def test_settings_that_make_room_let_those_who_wait_go_on() -> None:
    books = Ledger(LedgerState.new(Limits(tokens_per_day=100, max_active_cycles=5), NOON))
    books.open(opening("a", 100), NOON)
    books.open(opening("b", 50, wait=True), NOON)
    assert isinstance(only(books.configure(LimitsChange(tokens_per_day=150), NOON)), Granted)
