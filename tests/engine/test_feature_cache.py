"""Features that are kept are those that would be computed, and of no other bars, indicators or versions."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from domain.strategy import Strategy
from engine import feature_cache, features
from engine.feature_cache import features_kept_in
from engine.features import raw_features


@pytest.fixture(autouse=True)
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry each time that features were computed; small sets are kept too here."""
    times: list[int] = []
    compute = features._computed

    def counted(strategy: Strategy, frame: pd.DataFrame) -> Any:
        times.append(len(frame))
        return compute(strategy, frame)

    monkeypatch.setattr(features, "_computed", counted)
    monkeypatch.setattr(feature_cache, "LEAST_BARS", 100)
    return times


def test_what_is_kept_is_what_was_computed_bit_for_bit(
    strategy: Callable[..., Strategy], eurusd: pd.DataFrame, tmp_path: Path, computed: list[int]
) -> None:
    known = raw_features(strategy(), eurusd)
    with features_kept_in(tmp_path / "cache"):
        first, second = raw_features(strategy(), eurusd), raw_features(strategy(), eurusd)
    assert first.tobytes() == second.tobytes() == known.tobytes()
    assert len(computed) == 2
    assert not list((tmp_path / "cache").glob(".*"))


def test_other_bars_indicators_or_versions_are_computed(
    strategy: Callable[..., Strategy],
    eurusd: pd.DataFrame,
    tmp_path: Path,
    computed: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    another = eurusd.assign(close=np.append(eurusd["close"].to_numpy()[:-1], 1.0))
    indicators = {"rsi_14": {"type": "rsi", "period": 15}, "roc_10": {"type": "roc"}, "macd": {"type": "macd"}}
    period = {"indicators": indicators}
    with features_kept_in(tmp_path):
        raw_features(strategy(), eurusd)
        raw_features(strategy(), another)
        raw_features(strategy(), eurusd.iloc[:-1])
        raw_features(strategy(), eurusd.set_axis(eurusd.index + pd.Timedelta(hours=1), axis=0))
        raw_features(strategy(period), eurusd)
        monkeypatch.setattr(feature_cache, "FORMAT", 2)
        raw_features(strategy(), eurusd)
    assert len(computed) == 6


@pytest.mark.parametrize("damage", ["half", "empty", "other shape", "pickle"])
def test_a_damaged_file_is_made_anew(
    strategy: Callable[..., Strategy], eurusd: pd.DataFrame, tmp_path: Path, computed: list[int], damage: str
) -> None:
    with features_kept_in(tmp_path):
        known = raw_features(strategy(), eurusd)
        (path,) = tmp_path.iterdir()
        match damage:
            case "half":
                path.write_bytes(path.read_bytes()[:1000])
            case "empty":
                path.write_bytes(b"")
            case "other shape":
                np.save(path, np.zeros((3, 3)))
            case _:
                np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        assert raw_features(strategy(), eurusd).tobytes() == known.tobytes()
        assert raw_features(strategy(), eurusd).tobytes() == known.tobytes()
    assert len(computed) == 2


def test_few_bars_and_no_folder_keep_nothing(
    strategy: Callable[..., Strategy], eurusd: pd.DataFrame, tmp_path: Path
) -> None:
    with features_kept_in(tmp_path):
        raw_features(strategy(), eurusd.iloc[:99])
    with features_kept_in(None):
        raw_features(strategy(), eurusd)
    assert not list(tmp_path.iterdir())


def test_the_oldest_go_when_there_are_too_many(
    strategy: Callable[..., Strategy], eurusd: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with features_kept_in(tmp_path):
        raw_features(strategy(), eurusd)
        (old,) = tmp_path.iterdir()
        os.utime(old, (1e9, 1e9))
        monkeypatch.setattr(feature_cache, "MOST_BYTES", old.stat().st_size)
        raw_features(strategy(), eurusd.iloc[1:])
    (left,) = tmp_path.iterdir()
    assert left != old


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(
    strategy: Callable[..., Strategy], eurusd: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with features_kept_in(tmp_path / "file"):
        assert raw_features(strategy(), eurusd).shape == (len(eurusd), 5)
    assert "could not be kept" in caplog.text
