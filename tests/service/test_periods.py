"""Which days a service is asked to train on and to backtest on."""

from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from client.invocation import problems
from domain.errors import ErrorCode, ResearchError
from domain.results import PartName
from domain.strategy import load_strategy
from engine.bars import load_bars
from engine.interface import Places
from engine.service.periods import NamedPeriods, Period, Periods, periods_of
from engine.splits import describe, split_bars
from engine.strategy_file import kept_strategy
from settings import Settings

from .conftest import places_in, saved

EARLY, LATE = Period(date(2015, 1, 1), date(2016, 12, 31)), Period(date(2018, 1, 1), date(2018, 12, 31))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return places_in(tmp_path)


def of(places: Places, named: NamedPeriods, symbol: str = "EURUSD") -> Periods:
    return periods_of(kept_strategy(saved(places), places), symbol, "1h", places, named)


def test_days_of_our_own_split_share_no_day_and_none_is_the_lockboxs(places: Places) -> None:
    periods = of(places, NamedPeriods())
    index = pd.DatetimeIndex(load_bars("EURUSD", "1h", places.data).frame.index)
    parts = {p.name: p for p in describe(split_bars(kept_strategy(saved(places), places), index), index)}
    assert periods.training.start == parts[PartName.TRAIN].start.date()
    assert periods.training.end >= parts[PartName.VALIDATION].end.date()
    assert periods.backtest.start == periods.training.end + timedelta(days=1)
    assert periods.backtest.end < parts[PartName.LOCKBOX].start.date()


def test_a_day_that_two_parts_share_is_the_earlier_ones_and_never_the_lockboxs(places: Places) -> None:
    ref = saved(places)
    text = (places.strategies / ref.path).read_text()
    strategy = load_strategy(text.replace("zigzag_threshold: 0.005", "zigzag_threshold: 0.005, label_lookahead: 1"))
    index = pd.DatetimeIndex(load_bars("EURUSD", "1h", places.data).frame.index)
    parts = {p.name: p for p in describe(split_bars(strategy.strategy, index), index)}
    shared = parts[PartName.LOCKBOX].start.date()
    assert parts[PartName.BACKTEST].end.date() == shared
    periods = periods_of(strategy.strategy, "EURUSD", "1h", places, NamedPeriods())
    assert periods.backtest.end == shared - timedelta(days=1)
    assert parts[PartName.BACKTEST].start.date() == parts[PartName.VALIDATION].end.date() == periods.training.end
    assert periods.backtest.start == periods.training.end + timedelta(days=1)


def test_days_that_the_settings_name_come_first(places: Places) -> None:
    periods = of(places, NamedPeriods(EARLY, LATE))
    assert (periods.training, periods.backtest) == (EARLY, LATE)


def test_one_period_may_be_named_and_the_other_be_ours(places: Places) -> None:
    periods = of(places, NamedPeriods(EARLY, None))
    assert periods.training == EARLY
    assert periods.backtest == of(places, NamedPeriods()).backtest


def test_named_days_need_no_bars_of_ours(places: Places) -> None:
    assert of(places, NamedPeriods(EARLY, LATE), "NOSUCH").asset_class is None


def test_without_named_days_and_bars_it_is_said_what_to_set(places: Places) -> None:
    with pytest.raises(ResearchError, match=r"no bars of 'NOSUCH'.*AGENT_BACKTEST_END_DATE") as refused:
        of(places, NamedPeriods(EARLY, None), "NOSUCH")
    assert refused.value.code is ErrorCode.DATA_UNAVAILABLE


@pytest.mark.parametrize(
    "named", [NamedPeriods(Period(date(2017, 1, 1), date(2017, 10, 1)), None), NamedPeriods(None, EARLY)]
)
def test_nothing_is_tested_on_what_it_was_trained_on(named: NamedPeriods, places: Places) -> None:
    with pytest.raises(ResearchError, match="nothing may be tested on what it was trained on") as refused:
        of(places, named)
    assert refused.value.code is ErrorCode.DATA_UNAVAILABLE


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"KTRDR_API_URL": "http://me:secret@host"}, "take the name and password out of it"),
        ({"KTRDR_API_URL": "ftp://host"}, "http://HOST:PORT"),
        ({"KTRDR_API_URL": "http://[::1"}, "KTRDR_API_URL: give the service's address as http://HOST:PORT"),
        ({"KTRDR_API_URL": "http://xn--a"}, "KTRDR_API_URL: give the service's address as http://HOST:PORT"),
        ({"KTRDR_API_URL": "http://host/x?token=secret"}, "without ? and #"),
        ({"KTRDR_POLL_INTERVAL": "0"}, "KTRDR_POLL_INTERVAL"),
        ({"AGENT_TRAINING_START_DATE": "2020-01-01"}, "set both AGENT_TRAINING_START_DATE"),
        ({"AGENT_BACKTEST_START_DATE": "2020-01-01", "AGENT_BACKTEST_END_DATE": "2020-01-01"}, "is not after"),
        (
            {
                "AGENT_TRAINING_START_DATE": "2020-01-01",
                "AGENT_TRAINING_END_DATE": "2021-01-01",
                "AGENT_BACKTEST_START_DATE": "2021-01-01",
                "AGENT_BACKTEST_END_DATE": "2022-01-01",
            },
            "nothing may be tested on what it was trained on",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name_and_show_no_secret(
    environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert said in problems(refused.value)
    assert "secret" not in problems(refused.value)
    assert "Value error" not in problems(refused.value)


@pytest.mark.parametrize("given", ["http://host:8000", "http://host:8000/", "http://host:8000/api/v1/"])
def test_the_address_may_be_given_with_or_without_the_contracts_path(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KTRDR_API_URL", given)
    monkeypatch.setenv("KTRDR_API_TOKEN", "secret")
    settings = Settings()
    assert settings.ktrdr_api_url == "http://host:8000"
    assert settings.backend == "by the service at http://host:8000"
    assert "secret" not in repr(settings)
