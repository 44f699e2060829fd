"""A check tells holes from the market's own hours, and says of a file what an import would."""

from pathlib import Path

import pandas as pd
import pytest

from engine.bars import AssetClass, list_bars, load_bars
from engine.bars_holes import HoleKind, find_holes
from engine.bars_import import import_bars
from engine.bars_report import report_on_file, report_on_set

HOUR = pd.Timedelta("1h").to_pytimedelta()


def test_every_listed_set_can_be_used(tmp_path: Path) -> None:
    for info in list_bars(tmp_path):
        report = report_on_set(load_bars(info.symbol, info.timeframe, tmp_path))
        assert (report.usable, report.bars, report.start, report.end) == (True, info.bars, info.start, info.end)


@pytest.mark.parametrize("symbol", ["SP500", "NASDAQ"])
def test_days_after_the_eleventh_of_september_are_the_indices_only_hole(tmp_path: Path, symbol: str) -> None:
    (hole,) = report_on_set(load_bars(symbol, "1d", tmp_path)).holes

    assert (f"{hole.after:%F}", f"{hole.before:%F}", hole.missing, hole.holiday) == (
        "2001-09-10",
        "2001-09-17",
        4,
        False,
    )


@pytest.mark.parametrize(
    ("last", "first", "kind", "missing"),
    [
        ("2024-01-12 21:00", "2024-01-14 22:00", HoleKind.CLOSED, None),  # winter: 22:00 UTC to 22:00 UTC
        ("2024-07-12 20:00", "2024-07-14 21:00", HoleKind.CLOSED, None),  # summer: an hour earlier
        ("2024-03-08 21:00", "2024-03-10 21:00", HoleKind.CLOSED, None),  # the clock changes in between
        ("2024-07-12 12:00", "2024-07-14 21:00", HoleKind.UNEXPLAINED, 8),
        ("2024-01-12 21:00", "2024-01-15 05:00", HoleKind.UNEXPLAINED, 7),
        ("2024-01-09 10:00", "2024-01-09 14:00", HoleKind.UNEXPLAINED, 3),
        ("2024-12-24 21:00", "2024-12-25 23:00", HoleKind.HOLIDAY, 25),
        ("2024-12-31 21:00", "2025-01-01 23:00", HoleKind.HOLIDAY, 25),
        ("2024-12-03 21:00", "2025-01-03 23:00", HoleKind.UNEXPLAINED, None),  # no holiday lasts a month
    ],
)
def test_the_weekend_of_currencies_is_new_yorks_in_winter_and_summer(
    last: str, first: str, kind: HoleKind, missing: int | None
) -> None:
    end, begin = pd.Timestamp(last, tz="UTC"), pd.Timestamp(first, tz="UTC")
    times = [end - 2 * HOUR, end - HOUR, end, begin, begin + HOUR]

    holes = find_holes(pd.Series(pd.DatetimeIndex(times)), HOUR, AssetClass.FX)

    assert holes.kinds.tolist() == [kind.value]
    assert missing is None or holes.missing.tolist() == [missing]


def test_a_file_is_told_with_all_that_is_wrong_and_its_timeframe_is_found(tmp_path: Path, lines: list[str]) -> None:
    spoilt = [*lines[:20], lines[19], *lines[20:40], *lines[52:]]
    cells = spoilt[60].split(",")
    spoilt[60] = ",".join([cells[0], cells[1], "9", *cells[3:]])
    cells = spoilt[70].split(",")
    spoilt[70] = ",".join([cells[0], cells[1], "0.5", *cells[3:]])
    spoilt[80] = spoilt[80].rsplit(",", 1)[0] + ",0"
    (tmp_path / "mine.csv").write_text("\n".join(spoilt))

    report = report_on_file(tmp_path / "mine.csv", None, "fx")

    assert (report.timeframe, report.usable, report.bars) == ("1h", False, 189)
    assert (report.duplicates, report.ranges_wrong > 0, report.without_volume) == (1, True, 1)
    assert [(hole.missing, hole.holiday) for hole in report.holes] == [(12, False)]
    assert "line 21, timestamp: the same time as the line before" in report.problems


def test_a_spike_is_told_by_its_time_and_size(tmp_path: Path, lines: list[str]) -> None:
    cells = lines[100].split(",")
    lines[100] = ",".join([*cells[:2], "1.2", cells[3], "1.2", cells[5]])
    (tmp_path / "mine.csv").write_text("\n".join(lines))

    report = report_on_file(tmp_path / "mine.csv", "1h", "fx")

    assert report.usable
    assert report.spikes[0].time.isoformat() == cells[0].replace("Z", "+00:00")
    assert report.spikes[0].change == pytest.approx(1.2 / float(lines[99].split(",")[4]) - 1)
    assert report.spikes_found == 2  # there and back


def test_check_and_import_say_the_same(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "mine.csv").write_text("\n".join([*lines[:30], *lines[50:]]))

    info = import_bars(tmp_path / "mine.csv", tmp_path / "data", "MINE", "1h", "fx")

    assert report_on_file(tmp_path / "mine.csv", "1h", "fx").remarks == info.remarks
    assert "up to 20 of them" in info.remarks[0]
