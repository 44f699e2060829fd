"""Higher bars from lower ones, and what of them is seen when: never a bar that has not closed."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bars import TIMEFRAMES
from engine.resampling import last_closed, resample

HIGHER = ("1h", "4h", "1d", "1w")


def bars(minutes: list[int], seed: int = 0) -> pd.DataFrame:
    """Bars of 15 minutes at these multiples of it from a Tuesday on, with prices that chance made."""
    rng = np.random.default_rng(seed)
    start = datetime(2024, 1, 2, tzinfo=UTC)
    index = pd.DatetimeIndex([start + timedelta(minutes=15 * at) for at in minutes], name="timestamp").as_unit("ns")
    low, high = np.sort(rng.uniform(1, 2, (2, len(index))), axis=0)
    inside = rng.uniform(low, high, (2, len(index)))
    columns = {"open": inside[0], "high": high, "low": low, "close": inside[1], "volume": rng.uniform(0, 9, len(index))}
    return pd.DataFrame(columns, index=index)


moments = st.sets(st.integers(0, 4000), min_size=1, max_size=200).map(sorted)


@settings(max_examples=60)
@given(minutes=moments, timeframe=st.sampled_from(HIGHER))
def test_a_higher_bar_is_what_a_plain_loop_over_its_hours_finds(minutes: list[int], timeframe: str) -> None:
    frame = bars(minutes)
    expected: dict[datetime, list[float]] = {}
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    for moment, row in frame.iterrows():
        assert isinstance(moment, pd.Timestamp)
        opened = monday + (moment.to_pydatetime() - monday) // TIMEFRAMES[timeframe] * TIMEFRAMES[timeframe]
        if opened not in expected:
            expected[opened] = [row["open"], row["high"], row["low"], row["close"], row["volume"]]
        else:
            bar = expected[opened]
            bar[1:] = max(bar[1], row["high"]), min(bar[2], row["low"]), row["close"], bar[4] + row["volume"]
    found = resample(frame, timeframe)
    assert list(found.index) == list(expected)
    np.testing.assert_array_equal(found.to_numpy()[:, :4], np.array(list(expected.values()))[:, :4])
    np.testing.assert_allclose(found["volume"], [bar[4] for bar in expected.values()], rtol=1e-12)


@settings(max_examples=60)
@given(minutes=moments, timeframe=st.sampled_from(HIGHER), data=st.data())
def test_what_has_closed_when_a_bar_closes_is_known_of_it_alone_and_is_never_drawn_again(
    minutes: list[int], timeframe: str, data: st.DataObject
) -> None:
    frame = bars(minutes)
    now = data.draw(st.integers(0, len(frame) - 1))
    higher, known = resample(frame, timeframe), resample(frame.iloc[: now + 1], timeframe)
    seen = last_closed(pd.DatetimeIndex(frame.index), "15m", pd.DatetimeIndex(higher.index), timeframe)[now]
    closes = frame.index[now] + TIMEFRAMES["15m"]
    assert [opened + TIMEFRAMES[timeframe] <= closes for opened in higher.index].count(True) == seen + 1
    assert known.iloc[: seen + 1].to_numpy().tobytes() == higher.iloc[: seen + 1].to_numpy().tobytes()


def test_the_bar_that_closes_with_the_higher_one_sees_it_and_the_one_before_does_not() -> None:
    frame = bars(list(range(8)))
    seen = last_closed(pd.DatetimeIndex(frame.index), "15m", pd.DatetimeIndex(resample(frame, "1h").index), "1h")
    assert seen.tolist() == [-1, -1, -1, 0, 0, 0, 0, 1]


def test_weeks_begin_on_monday_and_no_bars_make_none() -> None:
    week = resample(bars([0, 4 * 24 * 5, 4 * 24 * 6]), "1w")
    assert list(week.index) == [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 8, tzinfo=UTC)]
    assert resample(bars([0]).iloc[:0], "4h").empty
    with pytest.raises(KeyError):
        resample(bars([0]), "2h")
