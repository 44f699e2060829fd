"""The books agree with an account kept by hand, fill by fill."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import keep_book, trades_of


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


@settings(max_examples=40, deadline=None)
@given(market=markets(), fee=st.sampled_from([0.0, 0.00005, 0.01]))
def test_the_profits_of_the_trades_add_up_to_the_change_of_the_equity(
    market: tuple[list[float], list[int]], fee: float
) -> None:
    prices, targets = market

    book = keep_book(_opens(prices), np.array(targets, dtype=np.int8), fee)

    assert 1 + trades_of(book, fee)["profit"].sum() == pytest.approx(book.equity[-1], rel=1e-11)
    assert np.prod(1 + book.returns) == pytest.approx(book.equity[-1], rel=1e-11)


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

    assert book.exposure[0] == pytest.approx(1.0)
    assert len(set(book.quantity[:4])) == 1


def test_a_short_that_uses_up_the_equity_ends_the_book() -> None:
    book = keep_book(_opens([1.0, 1.5, 2.5, 1.0, 0.5]), np.array([-1, -1, -1, 1, 1], dtype=np.int8), 0.0001)

    assert book.equity[2:].tolist() == [0.0, 0.0, 0.0]
    assert book.quantity[2:].tolist() == [0.0, 0.0, 0.0]
    assert book.returns[1:].tolist() == [-1.0, 0.0, 0.0]
    assert len(trades_of(book, 0.0001)) == 1


def test_what_is_held_at_the_last_open_is_closed_there() -> None:
    book = keep_book(_opens([1.0, 1.0, 1.0]), np.array([1, 1, 1], dtype=np.int8), 0.01)

    assert book.quantity[-1] == 0
    assert book.fees[-1] > 0


def test_never_trading_leaves_the_capital_whole() -> None:
    book = keep_book(_opens([1.0, 2.0, 3.0]), np.zeros(3, dtype=np.int8), 0.01)

    assert book.equity.tolist() == [1.0, 1.0, 1.0]
    assert trades_of(book, 0.01).empty
