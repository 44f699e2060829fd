"""The larger benchmarks run, in their quick form, and their rows are complete: one of them a day, all with --chaos."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.figures import Section
from benchmarks.soak import Slope
from settings import PROJECT

ROWS = {
    "growth": (
        *("research status", "research status ID", "research list", "research leaderboard") * 2,
        "from start to admission",
        "bytes of the designer's prompt",
        "memory of the worker, resident",
        "a whole cycle with an instant engine",
    ),
    "soak": (
        "memory of the worker, resident",
        "open descriptors of the worker",
        "the store, each cycle",
        "the server's database, each cycle",
        "tokens",
        "dollars",
        "differences that `research budget verify` finds",
    ),
    "engine": (
        "start",
        "memory of a training",
        "memory of a backtest",
        *("mlp: 2 epochs with validation, report and checkpoint",) * 2,
        "lstm: 2 epochs with validation, report and checkpoint",
        "features of 2,000 bars",
        *("a book of 500 bars, by bt",) * 2,
    ),
    "spread": (
        "1 cycles, two engine processes",
        "a cycle's status, 1 engine process busy",
        "a cycle's status, 2 engine processes busy",
        "2 cycles at once, 1 seeds: those with the results that they have alone",
    ),
    "observability": ("empty cycle, median of 5",),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All of them, or the one whose turn it is today."""
    if "name" in metafunc.fixturenames:
        names = sorted(ROWS)
        today = names[datetime.now(UTC).date().toordinal() % len(names)]
        metafunc.parametrize("name", names if metafunc.config.getoption("chaos") else [today])


def test_the_quick_form_measures_every_row(name: str, tmp_path: Path) -> None:
    found = tmp_path / "section.json"
    asked = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--json", str(found)]
    ran = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr

    rows = [row for group in Section.model_validate_json(found.read_text()).groups for row in group.rows]
    assert tuple(row.what for row in rows) == ROWS[name]
    assert all(row.ours for row in rows)
    if name == "soak":
        assert [row.ratio for row in rows[-3:]] == [0, 0, 0], "the ledger is not what was billed"
    if name == "spread":
        assert rows[-1].ratio == 1, "a cycle among others has other results than alone"


def test_a_slope_is_growth_only_beyond_two_standard_errors() -> None:
    steady = [(number, 1_000 + (-1) ** number) for number in range(50)]
    growing = [(number, size + 2 * number) for number, size in steady]
    assert Slope.of(steady).beyond_chance == 0
    assert Slope.of(growing).growth == pytest.approx(200, abs=1)
    assert Slope.of(growing).beyond_chance == pytest.approx(200 / 1_099, rel=0.01)
