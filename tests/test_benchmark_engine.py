"""The engine's benchmark runs, in its quick form, and says of each goal whether it was met."""

import re

import pytest

from benchmarks import engine


def test_the_quick_form_measures_every_pair_and_says_whether_goals_are_met(capsys: pytest.CaptureFixture[str]) -> None:
    engine.main(["--quick"])
    told = capsys.readouterr().out
    assert re.search(r"\d+ cores, Python 3.*jax \d", " ".join(told.split()))
    for what in ("a job's process, forked", "report and checkpoint", "features of 2,000 bars", "by bt"):
        assert what.split()[0] in told
    assert len(re.findall(r"1\.[15] +(met|missed)", told)) == 2
