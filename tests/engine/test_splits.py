"""The parts of the bars: their shares, the embargo between them, and the lockbox that no strategy can move."""

from collections.abc import Callable
from datetime import UTC, datetime

import pandas as pd
import pytest

from domain.errors import ErrorCode, ResearchError
from domain.results import PartName
from domain.strategy import Strategy
from engine.splits import Split, backtest_bars, describe, split_bars, split_symbols, training_bars

Build = Callable[..., Strategy]


def hours(count: int) -> pd.DatetimeIndex:
    return pd.date_range("2020-01-01", periods=count, freq="h", tz="UTC")


def dates(start: str | None, end: str | None) -> dict[str, object]:
    return {"training_data": {"start_date": start, "end_date": end}}


def split(strategy: Strategy, count: int = 10_000) -> Split:
    return split_bars(strategy, hours(count))


def test_the_parts_have_their_shares(strategy: Build) -> None:
    parts = split(strategy())
    assert parts.validation.start == 5000
    assert parts.backtest.start == 6500
    assert (parts.lockbox.start, parts.lockbox.stop) == (8500, 10_000)


def test_between_the_parts_lies_an_embargo_as_long_as_the_labels_look_ahead(strategy: Build) -> None:
    labels = {"source": "zigzag", "zigzag_threshold": 0.006, "label_lookahead": 37}
    parts = split(strategy({"training": {"labels": labels}}))
    assert parts.validation.start - parts.train.stop == 37
    assert parts.backtest.start - parts.validation.stop == 37
    assert parts.lockbox.start - parts.backtest.stop == 37


def test_train_begins_after_the_history_that_the_strategy_wants(strategy: Build) -> None:
    assert split(strategy({"training_data": {"history_required": 321}})).train.start == 321


def test_a_training_is_handed_nothing_after_validation(strategy: Build) -> None:
    frame = pd.DataFrame({"close": range(10_000)}, index=hours(10_000))
    parts = split(strategy())
    assert len(training_bars(frame, parts)) == parts.backtest.start
    assert training_bars(frame, parts)["close"].max() < parts.backtest.start


def test_a_backtest_is_handed_the_bars_before_its_part_and_nothing_of_the_lockbox(strategy: Build) -> None:
    frame = pd.DataFrame({"close": range(10_000)}, index=hours(10_000))
    parts = split(strategy())
    assert backtest_bars(frame, parts)["close"].tolist() == list(range(parts.backtest.stop))
    assert parts.backtest.stop < parts.lockbox.start


def test_a_date_range_cuts_the_bars_first(strategy: Build) -> None:
    parts = split(strategy(dates("2020-02-01", "2020-06-30")))
    first, last = 31 * 24, (31 + 29 + 31 + 30 + 31 + 30) * 24
    assert parts.first == first
    assert parts.backtest.start == round((last - first) * 0.65 / 0.85)
    assert first + parts.backtest.stop + parts.embargo == last


@pytest.mark.parametrize(("start", "end"), [("2020-06-01", None), (None, "2021-12-31"), ("2020-08-01", "2021-02-01")])
def test_no_date_range_moves_the_lockbox(strategy: Build, start: str | None, end: str | None) -> None:
    parts = split(strategy(dates(start, end)))
    assert parts.first + parts.lockbox.start == 8500
    assert parts.first + parts.backtest.stop <= 8500 - parts.embargo


@pytest.mark.parametrize(
    ("own", "share"),
    [
        ({"data_split": {"train": 0.6, "validation": 0.2, "test": 0.2}}, 0.25),
        ({"validation_split": 0.3}, 0.3),
    ],
)
def test_a_files_own_split_divides_train_and_validation_alone(
    strategy: Build, own: dict[str, object], share: float
) -> None:
    parts = split(strategy({"training": own}))
    assert parts.validation.start == round(6500 * (1 - share))
    assert (parts.backtest.start, parts.lockbox.start) == (6500, 8500)


def test_dates_and_numbers_of_the_parts_are_told(strategy: Build) -> None:
    index = hours(10_000)
    train, validation, backtest, lockbox = describe(split(strategy()), index)
    assert [part.name for part in (train, validation, backtest, lockbox)] == list(PartName)
    assert train.start == index[100]
    assert train.bars == 5000 - 100 - 20
    assert validation.end == index[6500 - 21]
    assert lockbox.end == index[-1]


def test_a_date_range_without_bars_is_refused_with_the_numbers(strategy: Build) -> None:
    with pytest.raises(ResearchError, match="leave 0 of them") as refused:
        split(strategy(dates("2031-01-01", "2031-12-31")))
    assert refused.value.code is ErrorCode.DATA_UNAVAILABLE
    assert "2020-01-01" in refused.value.message


def test_a_date_range_inside_the_lockbox_is_refused(strategy: Build) -> None:
    day = datetime(2021, 1, 10, tzinfo=UTC).date().isoformat()
    with pytest.raises(ResearchError, match="open to a cycle"):
        split(strategy(dates(day, None)))


@pytest.mark.parametrize("count", [0, 1, 10, 300])
def test_too_few_bars_are_refused_with_what_each_part_needs(strategy: Build, count: int) -> None:
    with pytest.raises(ResearchError, match=r"train has .* bars and needs 100") as refused:
        split(strategy(), count)
    assert refused.value.code is ErrorCode.DATA_UNAVAILABLE


def test_several_symbols_are_divided_at_the_same_moments(strategy: Build) -> None:
    whole = hours(10_000)
    weekdays = whole[whole.day_of_week < 5]
    late = whole[2_000:]
    parts = split_symbols(strategy(), {"A": whole, "B": weekdays, "C": late})
    assert parts["A"] == split(strategy())
    for name in ("train", "validation", "backtest"):
        begins = {s: index[parts[s].first + getattr(parts[s], name).start] for s, index in (("A", whole), ("C", late))}
        if name != "train":
            assert begins["A"] == begins["C"]
    for symbol, index in (("A", whole), ("B", weekdays), ("C", late)):
        part = parts[symbol]
        assert index[part.validation.start] >= whole[5000]
        # The labels of one symbol's train, as far as they look, end before another's validation begins.
        assert index[part.train.stop - 1 + part.embargo] < whole[5000]
        assert index[part.backtest.start] >= whole[6500]
        assert index[part.lockbox.start] >= whole[8500]


def test_a_symbol_with_too_few_bars_is_refused_by_its_name(strategy: Build) -> None:
    with pytest.raises(ResearchError, match="too few bars of B: there are 3000 bars"):
        split_symbols(strategy(), {"A": hours(10_000), "B": hours(10_000)[7_000:]})
