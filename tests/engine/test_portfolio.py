"""Several symbols' books side by side: what they are worth together, moment by moment."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import keep_book
from engine.portfolio import Portfolio, Share, returns_of

START = pd.Timestamp("2024-01-01", tz="UTC")


def share(symbol: str, hours: list[int], seed: int, fee: float = 0.001) -> Share:
    """A symbol that opens at these hours, traded as chance has it."""
    rng = np.random.default_rng(seed)
    opens = pd.Series(
        np.exp(np.cumsum(rng.normal(0, 0.01, len(hours)))),
        index=pd.DatetimeIndex([START + pd.Timedelta(hours=hour) for hour in hours]),
    )
    return Share(symbol, opens, rng.integers(-1, 2, len(hours)).astype(np.int8), fee, fee / 2)


openings = st.sets(st.integers(0, 60), min_size=2, max_size=40).map(sorted)


@settings(max_examples=15, deadline=None)
@given(openings, openings)
def test_equal_shares_are_worth_the_mean_of_their_last_values(one: list[int], other: list[int]) -> None:
    shares = [share("A", one, 1), share("B", other, 2)]
    portfolio = Portfolio(shares)
    assert list(portfolio.times) == [START + pd.Timedelta(hours=hour) for hour in sorted({*one, *other})]
    books = [keep_book(each.opens, each.targets, each.fee) for each in shares]
    for at, moment in enumerate(portfolio.times):
        worth, held, staked, benchmark = [], 0, 0.0, []
        for each, book in zip(shares, books, strict=True):
            last = int((each.opens.index <= moment).sum()) - 1
            worth.append(book.equity[last] if last >= 0 else 1.0)
            held += int(np.sign(book.quantity[last])) if last >= 0 else 0
            staked += book.quantity[last] * each.opens.iloc[last] if last >= 0 else 0.0
            benchmark.append(each.opens.iloc[last] / each.opens.iloc[0] if last >= 0 else 1.0)
        assert portfolio.equity[at] == pytest.approx(np.mean(worth))
        assert portfolio.buy_and_hold[at] == pytest.approx(np.mean(benchmark))
        assert portfolio.position[at] == held
        if at < len(portfolio.times) - 1:
            assert portfolio.exposure[at] == pytest.approx(staked / sum(worth))
    assert 1 + portfolio.trades["profit"].sum() == pytest.approx(portfolio.equity[-1])
    assert np.prod(1 + returns_of(portfolio.equity)) == pytest.approx(portfolio.equity[-1])
    assert portfolio.trades["entry_time"].is_monotonic_increasing


def test_one_symbol_has_all_of_the_capital() -> None:
    alone = share("A", list(range(50)), 3)
    portfolio, book = Portfolio([alone]), keep_book(alone.opens, alone.targets, alone.fee)
    assert portfolio.equity.tobytes() == book.equity.tobytes()
    assert portfolio.fees == pytest.approx(book.fees.sum())
    assert portfolio.turned_over == pytest.approx((book.traded / book.equity).sum())
    assert portfolio.position.tolist() == np.sign(book.quantity).tolist()
    assert portfolio.in_market.tolist() == (book.quantity[:-1] != 0).tolist()
