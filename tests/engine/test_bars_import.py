"""A user's CSV becomes a set of bars without one change, or is refused with every line that is wrong."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from domain.errors import ErrorCode, ResearchError
from engine.bars import load_bars
from engine.bars_import import import_bars
from engine.bars_kept import hash_of

Lines = list[str]


def _write(tmp_path: Path, lines: Lines) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _refusal(tmp_path: Path, lines: Lines, **options: str) -> str:
    arguments = {"symbol": "MINE", "timeframe": "1h", "asset_class": "fx"} | options
    with pytest.raises(ResearchError) as error:
        import_bars(
            _write(tmp_path, lines),
            tmp_path / "data",
            arguments["symbol"],
            arguments["timeframe"],
            arguments["asset_class"],
            arguments.get("timezone"),
        )
    assert error.value.code is ErrorCode.DATA_UNAVAILABLE
    assert not list((tmp_path / "data").glob("*"))
    return error.value.message


def _cell(line: int, column: int, value: str) -> Callable[[Lines], Lines]:
    def change(lines: Lines) -> Lines:
        cells = lines[line - 1].split(",")
        cells[column] = value
        return [*lines[: line - 1], ",".join(cells), *lines[line:]]

    return change


@pytest.mark.parametrize(
    ("symbol", "timeframe", "kind"), [("EURUSD", "1h", "fx"), ("AAPL", "1d", "equity"), ("AAPL", "1h", "equity")]
)
def test_real_bars_come_through_an_import_unchanged(tmp_path: Path, symbol: str, timeframe: str, kind: str) -> None:
    bundled = load_bars(symbol, timeframe, tmp_path)
    bundled.frame.to_csv(tmp_path / "out.csv")

    info = import_bars(tmp_path / "out.csv", tmp_path / "data", "mine", timeframe, kind)

    mine = load_bars("MINE", timeframe, tmp_path / "data")
    assert (info.sha256, info.bars) == (hash_of(bundled.frame), len(bundled.frame))
    assert np.array_equal(mine.frame.to_numpy(), bundled.frame.to_numpy())
    assert mine.frame.index.equals(bundled.frame.index)


BAD_CELLS = {
    "a price that is text": (_cell(5, 1, "abc"), "line 5, open: 'abc' is not a number"),
    "a price that is missing": (_cell(6, 4, ""), "line 6, close: is empty"),
    "NaN": (_cell(7, 2, "NaN"), "line 7, high: 'NaN' is not a number"),
    "infinity": (_cell(8, 2, "inf"), "line 8, high: 'inf' is not a number"),
    "a quote that is not closed": (_cell(9, 1, '"1.052'), "line 9, quotes: a cell's quotes have to end it"),
    "a formula": (_cell(9, 1, "=1+1"), "line 9, open: '=1+1' is not a number"),
    "a price of zero": (_cell(10, 3, "0"), "line 10, low: a price has to be above 0"),
    "a price below zero": (_cell(11, 3, "-1.05"), "line 11, low: a price has to be above 0"),
    "a volume below zero": (_cell(12, 5, "-1"), "line 12, volume: a volume cannot be below 0"),
    "a high below the rest": (_cell(13, 2, "0.9"), "line 13, high: is below the open"),
    "a low above the rest": (_cell(14, 3, "1.9"), "line 14, low: is above the close"),
    "a time that is none": (_cell(15, 0, "yesterday"), "line 15, timestamp: 'yesterday' is not a time in ISO 8601"),
    "a day and month of unknown order": (
        _cell(15, 0, "01/02/2017 10:00"),
        "line 15, timestamp: '01/02/2017 10:00' is not",
    ),
    "a month that does not exist": (
        _cell(15, 0, "2017-13-01T00:00:00Z"),
        "line 15, timestamp: '2017-13-01T00:00:00Z' is not",
    ),
    "a time that is missing": (_cell(16, 0, ""), "line 16, timestamp: is empty"),
    "a time twice": (
        lambda lines: [*lines[:20], lines[19], *lines[20:]],
        "line 21, timestamp: the same time as the line",
    ),
    "two lines swapped": (
        lambda lines: [*lines[:20], lines[21], lines[20], *lines[22:]],
        "line 22, timestamp: is earlier than the line before",
    ),
    "half an hour between hours": (
        _cell(30, 0, "2017-01-03T02:30:00Z"),
        "line 31, timestamp: is closer to the line before than a bar of 1h lasts",
    ),
    "one time without an offset": (
        lambda lines: [*lines[:30], lines[30].replace("Z", ""), *lines[31:]],
        "line 31, timestamp: has no UTC offset, while others have one",
    ),
    "an empty line": (lambda lines: [*lines[:40], "", *lines[40:]], "line 41, cells: the line is empty"),
    "a cell too many": (
        lambda lines: [*lines[:50], lines[50] + ",1", *lines[51:]],
        "line 51, cells: there are 7, and line 1 names 6",
    ),
    "a volume with commas": (
        _cell(52, 5, "1,234,567"),
        "line 52, cells: there are 8, and line 1 names 6 (1,234 is two: write 1234)",
    ),
    "a line break inside a cell": (_cell(53, 5, '"1\n2"'), "line 53, quotes: a cell's quotes have to end it"),
    "a cell too few": (
        lambda lines: [*lines[:50], lines[50].rsplit(",", 1)[0], *lines[51:]],
        "line 51, cells: there are 5, and line 1 names 6",
    ),
}


@pytest.mark.parametrize(("spoil", "told"), BAD_CELLS.values(), ids=BAD_CELLS.keys())
def test_a_bad_cell_is_refused_by_line_and_column(
    tmp_path: Path, lines: Lines, spoil: Callable[[Lines], Lines], told: str
) -> None:
    assert told in _refusal(tmp_path, spoil(lines))


BAD_FILES = {
    "no column of closes": (
        lambda lines: [lines[0].replace("close", "last"), *lines[1:]],
        "no column is named 'close'",
    ),
    "no column of times": (
        lambda lines: [lines[0].replace("timestamp", "when"), *lines[1:]],
        "no column is named 'timestamp'",
    ),
    "a column twice": (lambda lines: [lines[0].replace("low", "high"), *lines[1:]], "the column 'high' occurs twice"),
    "no column names": (lambda lines: lines[1:], "no column is named 'open'"),
    "the newest bar first": (lambda lines: [lines[0], *lines[:0:-1]], "the newest bar stands first"),
    "bars of another timeframe": (lambda lines: [lines[0], *lines[1::2]][:102], "usually lie 2 hours apart"),
    "nothing but names": (lambda lines: lines[:1], "mine.csv cannot be imported"),
    "nothing": (lambda lines: [], "no column is named"),
    "too few bars": (lambda lines: lines[:50], "49 bars are too few; at least 100"),
    "no time zone": (lambda lines: [line.replace("Z,", ",") for line in lines], "say with --timezone what they mean"),
    "a hole of a month": (
        lambda lines: [*lines[:150], *[line.replace("2017-01", "2017-03") for line in lines[150:]]],
        "line 151, timestamp: bars are missing before it for more than 14 days",
    ),
    "bars missing everywhere": (
        lambda lines: [line for at, line in enumerate(lines) if at % 7 or not at],
        "bars are missing before it",
    ),
}


@pytest.mark.parametrize(("spoil", "told"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_refused_with_what_is_wrong(
    tmp_path: Path, lines: Lines, spoil: Callable[[Lines], Lines], told: str
) -> None:
    assert told in _refusal(tmp_path, spoil(lines))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x1f\x8b\x08\x00\xff\xfe", "is not text in UTF-8"),
        (b"timestamp,open\0", "it holds a NUL"),
        ("timestamp,open\n".encode("utf-16"), "is not text in UTF-8"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "mine.csv").write_bytes(content)

    with pytest.raises(ResearchError, match=told):
        import_bars(tmp_path / "mine.csv", tmp_path / "data", "MINE", "1h", "fx")


def test_a_file_larger_than_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "mine.csv").open("wb") as file:
        file.truncate(600 * 1024 * 1024)

    with pytest.raises(ResearchError, match="larger than 512 MiB"):
        import_bars(tmp_path / "mine.csv", tmp_path / "data", "MINE", "1h", "fx")


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ResearchError, match="is not a file"):
        import_bars(tmp_path / name, tmp_path / "data", "MINE", "1h", "fx")


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"symbol": "../up"}, "is not a plain name"),
        ({"symbol": ".hidden"}, "is not a plain name"),
        ({"symbol": "a/b"}, "is not a plain name"),
        ({"symbol": ""}, "is not a plain name"),
        ({"timeframe": "2h"}, "is not one of 1m, 5m"),
        ({"asset_class": "crypto"}, "is not one of fx, equity, index"),
        ({"timezone": "Mars/Olympus"}, "the time zone 'Mars/Olympus' is unknown"),
        ({"timezone": "../../etc/passwd"}, "is unknown"),
    ],
)
def test_a_bad_option_is_refused_by_name(tmp_path: Path, lines: Lines, option: dict[str, str], told: str) -> None:
    assert told in _refusal(tmp_path, lines, **option)


def test_all_problems_are_listed_by_line_up_to_twenty(tmp_path: Path, lines: Lines) -> None:
    for line in range(10, 60):
        lines = _cell(line, 1, "abc")(lines)

    message = _refusal(tmp_path, lines)

    assert "it has 50 problems" in message
    assert [row.split(",")[0].strip() for row in message.splitlines()[1:-1]] == [f"line {n}" for n in range(10, 30)]
    assert message.endswith("and 30 more")


def test_a_cell_is_shown_short_and_without_its_control_characters(tmp_path: Path, lines: Lines) -> None:
    message = _refusal(tmp_path, _cell(5, 1, "\x1b[2J" + "x" * 5_000)(lines))

    assert "\x1b" not in message
    assert len(message) < 200


def test_columns_are_found_by_name_in_any_case_and_order_and_others_are_left_alone(
    tmp_path: Path, lines: Lines
) -> None:
    shuffled = [";".join([*reversed(line.split(",")), "extra"]) for line in lines[1:]]

    info = import_bars(
        _write(tmp_path, [" Volume ;CLOSE;Low;high;Open;DateTime;Note", *shuffled]),
        tmp_path / "data",
        "MINE",
        "1h",
        "fx",
    )

    straight = import_bars(_write(tmp_path, lines), tmp_path / "data", "MINE2", "1h", "fx")
    assert info.sha256 == straight.sha256


def test_a_separator_at_the_end_of_a_line_and_quotes_around_cells_change_nothing(tmp_path: Path, lines: Lines) -> None:
    straight = import_bars(_write(tmp_path, lines), tmp_path / "data", "MINE", "1h", "fx")
    ended = [lines[0], *(f"{line}," for line in lines[1:])]
    ended_throughout = [f"{line}," for line in lines]
    quoted = [",".join(f'"{cell}"' for cell in line.split(",")) for line in lines]

    for at, other in enumerate((ended, ended_throughout, quoted)):
        info = import_bars(_write(tmp_path, other), tmp_path / "data", f"MINE{at}", "1h", "fx")
        assert info.sha256 == straight.sha256


def test_date_and_time_in_two_columns_are_one_time(tmp_path: Path, lines: Lines) -> None:
    split = [line.replace("T", ",", 1).replace("Z", "") for line in lines[1:]]

    info = import_bars(
        _write(tmp_path, ["date,time,open,high,low,close,volume", *split]), tmp_path / "data", "MINE", "1h", "fx", "UTC"
    )

    assert info.start == dt.datetime(2017, 1, 1, 22, tzinfo=dt.UTC)


def test_local_times_are_read_in_the_zone_that_is_given(tmp_path: Path) -> None:
    bars = load_bars("AAPL", "1h", tmp_path)
    local = bars.frame.set_axis(pd.DatetimeIndex(bars.frame.index).tz_convert("America/New_York").tz_localize(None))
    local.to_csv(tmp_path / "mine.csv", index_label="time")

    info = import_bars(tmp_path / "mine.csv", tmp_path / "data", "MINE", "1h", "equity", "America/New_York")

    assert info.sha256 == hash_of(bars.frame)


def test_a_zone_does_not_move_times_that_carry_their_own_offset(tmp_path: Path, lines: Lines) -> None:
    offset = [line.replace("Z,", "+02:00,") for line in lines]

    info = import_bars(_write(tmp_path, offset), tmp_path / "data", "MINE", "1h", "index", "Asia/Tokyo")

    assert info.start == dt.datetime(2017, 1, 1, 20, tzinfo=dt.UTC)


def test_an_hour_that_the_clock_repeats_is_refused_by_line(tmp_path: Path) -> None:
    hours = pd.date_range("2017-10-29T00:00", periods=150, freq="h")
    lines = ["time,open,high,low,close", *(f"{hour:%Y-%m-%d %H:%M},1,1,1,1" for hour in hours)]

    message = _refusal(tmp_path, lines, timezone="Europe/Berlin", asset_class="index")

    assert "line 4, timestamp: is no single moment in Europe/Berlin" in message


def test_days_without_a_time_are_days_in_utc(tmp_path: Path) -> None:
    bars = load_bars("AAPL", "1d", tmp_path)
    bars.frame.set_axis(pd.DatetimeIndex(bars.frame.index).strftime("%Y-%m-%d")).to_csv(
        tmp_path / "mine.csv", index_label="Date"
    )

    assert import_bars(tmp_path / "mine.csv", tmp_path / "data", "MINE", "1d", "equity").sha256 == hash_of(bars.frame)


def test_bars_of_a_finer_timeframe_than_said_are_refused(tmp_path: Path) -> None:
    minutes = pd.date_range("2017-01-02T00:00", periods=200, freq="15min", tz="UTC")
    lines = ["time,open,high,low,close", *(f"{time:%Y-%m-%dT%H:%MZ},1,1,1,1" for time in minutes)]

    assert "usually lie 15 minutes apart, which is not the timeframe 1h" in _refusal(tmp_path, lines)


def test_weekends_of_a_currency_are_no_holes_and_a_missing_day_is_remarked_by_line(
    tmp_path: Path, lines: Lines
) -> None:
    whole = import_bars(_write(tmp_path, lines), tmp_path / "data", "WHOLE", "1h", "fx")
    holed = import_bars(_write(tmp_path, [*lines[:30], *lines[50:]]), tmp_path / "data", "HOLED", "1h", "fx")

    assert whole.remarks == ()
    assert holed.remarks == ("bars missing in 1 place, up to 20 of them, that no night or weekend explains (line 31)",)


def test_nights_of_an_equity_are_no_holes_and_a_missing_hour_is_remarked_by_line(tmp_path: Path) -> None:
    frame = load_bars("AAPL", "1h", tmp_path).frame.iloc[:700]
    noon = next(at for at in range(300, 400) if frame.index[at].hour == 17)
    for name, kept in {"WHOLE": frame, "HOLED": frame.drop(frame.index[noon])}.items():
        kept.to_csv(tmp_path / f"{name}.csv")

    remarks = [
        import_bars(tmp_path / f"{n}.csv", tmp_path / "data", n, "1h", "equity").remarks for n in ("WHOLE", "HOLED")
    ]

    assert remarks == [
        (),
        (f"bars missing in 1 place, up to 1 of them, that no night or weekend explains (line {noon + 2})",),
    ]


def test_an_exchanges_pause_at_noon_is_no_hole(tmp_path: Path) -> None:
    days = pd.bdate_range("2020-01-06", periods=40)
    hours = [day + pd.Timedelta(hours=hour) for day in days for hour in (0, 1, 2, 5, 6)]
    lines = ["time,open,high,low,close", *(f"{hour:%Y-%m-%dT%H:%MZ},1,1,1,1" for hour in hours)]

    assert "missing" not in " ".join(
        import_bars(_write(tmp_path, lines), tmp_path / "d", "MINE", "1h", "index").remarks
    )


def test_an_absurd_jump_is_remarked_and_taken(tmp_path: Path, lines: Lines) -> None:
    split = [",".join([c[0], *(str(float(x) * 2) for x in c[1:5]), c[5]]) for c in (x.split(",") for x in lines[100:])]

    info = import_bars(_write(tmp_path, [*lines[:100], *split]), tmp_path / "data", "MINE", "1h", "fx")

    assert info.remarks == ("the price jumps by more than 20%: a split, or an error? (line 101)",)


def test_without_volume_it_is_nought_and_said_so(tmp_path: Path, lines: Lines) -> None:
    info = import_bars(
        _write(tmp_path, [line.rsplit(",", 1)[0] for line in lines]), tmp_path / "data", "MINE", "1h", "fx"
    )

    assert info.remarks == ("there is no volume: it is taken as 0",)
    assert (load_bars("MINE", "1h", tmp_path / "data").frame["volume"] == 0).all()
