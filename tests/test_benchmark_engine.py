"""The engine's benchmark runs, in its quick form, and tells each of its rows."""

from pathlib import Path

from benchmarks import engine
from benchmarks.figures import Section


def test_the_quick_form_measures_every_pair_and_holds_the_goals_against_them(tmp_path: Path) -> None:
    assert engine.main(["--quick", "--json", str(tmp_path / "engine.json")]) == 0
    section = Section.model_validate_json((tmp_path / "engine.json").read_text())
    mlp, lstm = (f"{kind}: 2 epochs with validation, report and checkpoint" for kind in ("mlp", "lstm"))
    book = "a book of 500 bars, by bt"
    assert [(row.what, row.beside.split(",")[0], row.goal) for group in section.groups for row in group.rows] == [
        ("start", "its imports alone", None),
        ("memory of a training", "its imports alone", None),
        ("memory of a backtest", "its imports alone", None),
        (mlp, "the compiled epochs alone", 1.1),
        (mlp, "scikit-learn's MLP", None),
        (lstm, "the compiled epochs alone", 1.1),
        ("features of 2,000 bars", "the four TA-Lib calls alone", 1.5),
        (book, "its equity in closed form", None),
        (book, "backtesting.py", None),
    ]
    assert all(row.ratio for group in section.groups for row in group.rows if row.theirs != "not installed")
    assert all(row.why for group in section.groups for row in group.rows if row.goal)
