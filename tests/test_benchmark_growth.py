"""The benchmarks of growth and of a soak run, in their quick form, and their rows are complete."""

import subprocess
import sys
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
}


@pytest.mark.parametrize("name", ROWS)
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


def test_a_slope_is_growth_only_beyond_two_standard_errors() -> None:
    steady = [(number, 1_000 + (-1) ** number) for number in range(50)]
    growing = [(number, size + 2 * number) for number, size in steady]
    assert Slope.of(steady).beyond_chance == 0
    assert Slope.of(growing).growth == pytest.approx(200, abs=1)
    assert Slope.of(growing).beyond_chance == pytest.approx(200 / 1_099, rel=0.01)
