"""The books agree with an account kept by hand, fill by fill."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.strategy import Decisions, Filters
from engine.backtest import targets_at_opens
from engine.book import keep_book, trades_of
from engine.portfolio import returns_of
from engine.signals import loud_enough, target_positions
from engine.statistics_luck import equity_at


@dataclass(frozen=True)
class Account:
    """After each open: equity, units held and the fee paid there."""

    equity: list[float]
    units: list[float]
    fees: list[float]


def by_hand(prices: list[float], targets: list[int], fee: float) -> Account:
    """Cash and units, one open after the other; the stake is found by halving, not by a formula."""
    cash, units = 1.0, 0.0
    account = Account([], [], [])
    for at, price in enumerate(prices):
        target = targets[at] if at < len(prices) - 1 else 0
        paid = 0.0
        if target != np.sign(units):
            low, high = 0.0, 2 * (cash + units * price)
            for _ in range(200):
                stake = (low + high) / 2
                wanted = target * stake / price
                left = cash + units * price - fee * abs(wanted - units) * price
                low, high = (stake, high) if stake < left else (low, stake)
            wanted = target * low / price if target else 0.0
            paid = fee * abs(wanted - units) * price
            cash -= (wanted - units) * price + paid
            units = wanted
        account.equity.append(cash + units * price)
        account.units.append(units)
        account.fees.append(paid)
    return account


def _opens(prices: list[float]) -> pd.Series:
    return pd.Series(prices, index=pd.date_range("2020-01-06", periods=len(prices), freq="h", tz="UTC"))


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    moves = draw(st.lists(st.floats(-0.04, 0.04), min_size=3, max_size=60))
    targets = draw(st.lists(st.integers(-1, 1), min_size=len(moves), max_size=len(moves)))
    return (1.1 * np.cumprod(1 + np.array(moves))).tolist(), targets


@settings(max_examples=80, deadline=None)
@given(market=markets(), fee=st.sampled_from([0.0, 0.00005, 0.0002, 0.01]))
def test_every_fill_fee_and_equity_is_that_of_an_account_kept_by_hand(
    market: tuple[list[float], list[int]], fee: float
) -> None:
    prices, targets = market
    expected = by_hand(prices, targets, fee)

    book = keep_book(_opens(prices), np.array(targets, dtype=np.int8), fee)

    assert book.equity == pytest.approx(expected.equity, rel=1e-11)
    assert book.quantity == pytest.approx(expected.units, rel=1e-11, abs=1e-15)
    assert book.fees == pytest.approx(expected.fees, rel=1e-9, abs=1e-15)


def decided_by_hand(said: list[int], loud: list[bool], rules: Decisions) -> list[int]:
    """The position after each bar, by the words of the grammar alone."""
    held, changed, after = "flat", None, []
    for bar, signal in enumerate(said):
        word = {1: "buy", -1: "sell", 0: "hold"}[signal] if loud[bar] else "hold"
        too_soon = changed is not None and bar - changed < rules.filters.min_signal_separation
        may_short = rules.allow_short_from_flat
        if rules.position_awareness:
            moves = {("flat", "buy"): "long", ("long", "sell"): "flat", ("short", "buy"): "flat"}
            moves |= {("flat", "sell"): "short"} if may_short else {}
        else:
            moves = {("flat", "buy"): "long", ("short", "buy"): "long"}
            moves |= dict.fromkeys((("flat", "sell"), ("long", "sell")), "short") if may_short else {}
            moves |= {} if may_short else {("long", "sell"): "flat"}
        if (held, word) in moves and not too_soon:
            held, changed = moves[held, word], bar
        after.append({"long": 1, "flat": 0, "short": -1}[held])
    return after


@st.composite
def decisions(draw: st.DrawFn) -> Decisions:
    return Decisions(
        confidence_threshold=0.5,
        allow_short_from_flat=draw(st.booleans()),
        position_awareness=draw(st.booleans()),
        filters=Filters(min_signal_separation=draw(st.integers(0, 4)), volume_filter=draw(st.booleans())),
    )


@settings(max_examples=40, deadline=None)
@given(market=markets(), rules=decisions(), fee=st.sampled_from([0.0, 0.0002, 0.01]), data=st.data())
def test_from_what_the_model_says_to_the_last_fill_all_is_as_kept_by_hand(
    market: tuple[list[float], list[int]], rules: Decisions, fee: float, data: st.DataObject
) -> None:
    prices, said = market
    volume = np.array(
        data.draw(st.lists(st.sampled_from([1.0, 5.0, 9.0]), min_size=len(said) + 19, max_size=len(said) + 19))
    )
    mean = [volume[bar : bar + 20].sum() / 20 for bar in range(len(said))]
    filtered = rules.filters.volume_filter
    loud = [not filtered or volume[bar + 19] >= mean[bar] for bar in range(len(said))]
    named = {1: (0.8, 0.1, 0.1), 0: (0.1, 0.8, 0.1), -1: (0.1, 0.1, 0.8)}
    heard = loud_enough(volume)[19:] if filtered else None

    held = target_positions(np.array([named[signal] for signal in said]), rules, heard)

    expected = decided_by_hand(said, loud, rules)
    assert held.tolist() == expected
    account = by_hand(prices, [0, *expected[:-1]], fee)
    book = keep_book(_opens(prices), targets_at_opens(held), fee)
    assert book.equity == pytest.approx(account.equity, rel=1e-11)
    assert book.quantity == pytest.approx(account.units, rel=1e-11, abs=1e-15)
    assert book.fees == pytest.approx(account.fees, rel=1e-9, abs=1e-15)


@settings(max_examples=40, deadline=None)
@given(market=markets(), fee=st.sampled_from([0.0, 0.00005, 0.01]), wild=st.booleans())
def test_the_closed_form_has_the_same_equity_at_every_open(
    market: tuple[list[float], list[int]], fee: float, wild: bool
) -> None:
    prices, said = market
    prices = [price ** (20 if wild else 1) for price in prices]  # so wild that a short may lose all
    targets = np.array(said, dtype=np.int8)

    book = keep_book(_opens(prices), targets, fee)

    assert equity_at(np.array(prices), targets, fee) == pytest.approx(book.equity, rel=1e-9, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(market=markets(), fee=st.sampled_from([0.0, 0.00005, 0.01]))
def test_the_profits_of_the_trades_add_up_to_the_change_of_the_equity(
    market: tuple[list[float], list[int]], fee: float
) -> None:
    prices, targets = market

    book = keep_book(_opens(prices), np.array(targets, dtype=np.int8), fee)

    assert 1 + trades_of(book, fee)["profit"].sum() == pytest.approx(book.equity[-1], rel=1e-11)
    assert np.prod(1 + returns_of(book.equity)) == pytest.approx(book.equity[-1], rel=1e-11)


def test_a_reversal_ends_one_trade_and_begins_the_next_at_the_same_price() -> None:
    book = keep_book(_opens([1.0, 1.1, 0.99, 0.99]), np.array([1, -1, 0, 0], dtype=np.int8), 0.0)

    trades = trades_of(book, 0.0)

    assert trades["side"].tolist() == ["long", "short"]
    assert trades["entry_price"].tolist() == [1.0, 1.1]
    assert trades["exit_price"].tolist() == [1.1, 0.99]
    assert trades["return_gross"].tolist() == pytest.approx([0.1, 0.1])
    assert book.equity[-1] == pytest.approx(1.1 * 1.1)


def test_costs_are_paid_on_both_sides_of_a_trade() -> None:
    fee = 0.01
    book = keep_book(_opens([2.0, 2.0, 2.0]), np.array([1, 0, 0], dtype=np.int8), fee)

    assert book.fees == pytest.approx([fee / (1 + fee), fee / (1 + fee), 0.0])
    assert book.equity[-1] == pytest.approx(1 - 2 * fee / (1 + fee))
    assert trades_of(book, fee)["return_net"].tolist() == pytest.approx([-2 * fee])


def test_a_stake_is_the_whole_equity_and_is_left_alone_while_the_position_lasts() -> None:
    book = keep_book(_opens([1.0, 1.2, 0.9, 1.0, 1.0]), np.array([1, 1, 1, 1, 0], dtype=np.int8), 0.001)

    assert book.quantity[0] * 1.0 == pytest.approx(book.equity[0])
    assert len(set(book.quantity[:4])) == 1


def test_a_short_that_uses_up_the_equity_ends_the_book() -> None:
    book = keep_book(_opens([1.0, 1.5, 2.5, 1.0, 0.5]), np.array([-1, -1, -1, 1, 1], dtype=np.int8), 0.0001)

    assert book.equity[2:].tolist() == [0.0, 0.0, 0.0]
    assert book.quantity[2:].tolist() == [0.0, 0.0, 0.0]
    assert returns_of(book.equity)[1:].tolist() == [-1.0, 0.0, 0.0]
    assert len(trades_of(book, 0.0001)) == 1


def test_what_is_held_at_the_last_open_is_closed_there() -> None:
    book = keep_book(_opens([1.0, 1.0, 1.0]), np.array([1, 1, 1], dtype=np.int8), 0.01)

    assert book.quantity[-1] == 0
    assert book.fees[-1] > 0


def test_never_trading_leaves_the_capital_whole() -> None:
    book = keep_book(_opens([1.0, 2.0, 3.0]), np.zeros(3, dtype=np.int8), 0.01)

    assert book.equity.tolist() == [1.0, 1.0, 1.0]
    assert trades_of(book, 0.01).empty
