"""The peers of the benchmark of orchestration run, and a kill costs each of them what it has to."""

import sys
from pathlib import Path

import pytest

from benchmarks.peers import QUICK, Name, NotInstalled, peer_figures


@pytest.mark.parametrize(
    ("name", "finished", "steps_run_twice"),
    [
        ("plain", 0, 2 * QUICK.killed),  # from the start again, by hand
        ("dbos", QUICK.killed, QUICK.killed),  # by itself, the step that was cut off
        ("prefect", 0, QUICK.killed),  # by hand, and the first step's result is found
    ],
)
async def test_a_peer_is_measured_and_killed(name: Name, finished: int, steps_run_twice: int) -> None:
    found = await peer_figures(name, QUICK)
    if isinstance(found, NotInstalled):
        pytest.skip(found.why)

    assert len(found.latencies) == QUICK.latency
    assert found.ended == {at_once: at_once for at_once in QUICK.at_once}
    assert found.latency_median > 0
    assert found.cpu_per_run > 0
    assert all(rate > 0 for rate in found.throughput.values())
    killed = found.killed
    assert (killed.runs, killed.finished, killed.lost) == (QUICK.killed, finished, QUICK.killed - finished)
    assert killed.steps_run_twice == killed.budget_doubled == steps_run_twice
    assert killed.budget_lost == 0


async def test_a_peer_that_is_not_there_says_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    found = await peer_figures("prefect", QUICK)
    assert isinstance(found, NotInstalled)
    assert "make bench" in found.why
