"""The engine's benchmark runs, in its quick form, and says of each goal whether it was met."""

import re

import pytest

from benchmarks import engine


def test_the_quick_form_measures_every_pair_and_says_whether_goals_are_met(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    engine.main(["--quick"])
    told = capsys.readouterr().out
    assert re.search(r"\d+ cores, Python 3.*jax \d", told)
    for ours, other, goal in (
        ("a job's process, forked", "its imports", ""),
        ("2 epochs, report and checkpoint", "compiled epochs", "1.1 (met|missed)"),
        ("2 epochs, report and checkpoint", "scikit-learn's MLP", ""),
        ("features of 2,000 bars", "TA-Lib alone", "1.5 (met|missed)"),
        ("a book of 500 bars by bt", "closed form in numpy", ""),
    ):
        assert re.search(rf"{ours} +[\d.]+ +{other} +[\d.]+ +[\d.e+]+ +{goal}", told), told


def test_a_goal_is_held_against_the_ratio() -> None:
    assert engine.Pair(what="a", ours=3.0, other="b", others=2.0, goal=1.5).ratio == 1.5
