"""A worker dies by SIGKILL at every await of every activity, and each time the cycle ends as it would have.

`awaits.tsv` says which story comes by at each place; the places are read from the code. The usual run takes a few of
them, others every day; `--chaos` takes all.
"""

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

import workflows.budget

from .armed_worker import hasty_sweep
from .awaits import Await, awaits
from .death import Moment
from .scenarios import Bench, Doom
from .stories import STORIES

TABLE = Path(__file__).with_name("awaits.tsv")
A_DAY = 2
"""Cases in the usual run."""

CASES = [(place, moment) for place in awaits() for moment in Moment]


def table() -> dict[tuple[str, ...], str]:
    """The story for each place."""
    with TABLE.open(newline="") as file:
        return {tuple(row[:-1]): row[-1] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All cases, or those whose turn it is today."""
    if "moment" in metafunc.fixturenames:
        first = datetime.now(UTC).date().toordinal() * A_DAY
        today = [CASES[(first + n) % len(CASES)] for n in range(A_DAY)]
        cases = CASES if metafunc.config.getoption("chaos") else today
        metafunc.parametrize(("place", "moment"), cases, ids=[f"{place.name}-{moment}" for place, moment in cases])


def test_the_table_has_every_await_of_every_activity_and_no_other() -> None:
    rows, code = table(), {place.row for place in awaits()}
    missing = ["\t".join((*row, "<story>")) for row in sorted(code - rows.keys())]
    stale = ["\t".join(row) for row in sorted(rows.keys() - code)]
    assert missing == [], f"add to {TABLE.name}, with the story of scenarios.py that comes by there"
    assert stale == [], f"in the code there is no such await any more: take out of {TABLE.name}"
    assert set(rows.values()) == set(STORIES)


async def test_a_worker_that_is_killed_there_changes_nothing(
    place: Await, moment: Moment, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows.budget, "SWEEP", hasty_sweep())
    story = STORIES[table()[place.row]]
    await story(Doom(bench, tmp_path, place, moment))
