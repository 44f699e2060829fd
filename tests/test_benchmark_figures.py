"""What benchmarks hand out, and the page that is written of it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks import __main__ as bench
from benchmarks.figures import Group, Row, Section, command
from benchmarks.page import page


def row(**changes: object) -> Row:
    given: dict[str, object] = {"what": "latency", "ours": "3 ms", "beside": "bare", "theirs": "2 ms", "ratio": 1.5}
    return Row.model_validate(given | changes)


def section(*rows: Row, name: str = "cli") -> Section:
    return Section(
        name=name,
        at=datetime(2026, 11, 28, tzinfo=UTC),
        machine="a machine",
        versions={"Python": "3.11"},
        load=(0.1, 0.2),
        minutes=1.0,
        quick=False,
        groups=(Group(title="screens", rows=rows, notes=("measured cold",)),),
    )


@pytest.mark.parametrize(
    ("ratio", "goal", "goal_is", "missed"),
    [
        (1.5, 2.0, "at most", False),
        (2.1, 2.0, "at most", True),
        (0.7, 0.8, "at least", True),
        (0.8, 0.8, "at least", False),
    ],
)
def test_a_goal_bounds_the_ratio(ratio: float, goal: float, goal_is: str, missed: bool) -> None:
    assert row(ratio=ratio, goal=goal, goal_is=goal_is).missed is missed


def test_a_goal_needs_a_ratio() -> None:
    with pytest.raises(ValidationError, match="no ratio"):
        row(ratio=None, goal=1.0)


def test_the_page_says_which_goals_are_missed_and_why() -> None:
    told = page([section(row(goal=2.0), row(what="size", ratio=3.0, goal=1.0, why="it is large; less was tried"))])
    assert "1 of the 2 goals below are met." in told
    assert "Not yet" not in told
    assert "| latency | 3 ms | bare | 2 ms | 1.5 | <= 2 |" in told
    assert "| size | 3 ms | bare | 2 ms | 3 | <= 1, **missed** |" in told
    assert "**Missed**: size. it is large; less was tried" in told
    assert "measured cold" in told
    assert "28 November 2026" in told


def test_why_is_not_told_of_a_goal_that_is_met() -> None:
    assert "noise" not in page([section(row(goal=2.0, why="noise"))])


def test_a_benchmark_writes_its_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[bool] = []

    def measured(quick: bool) -> list[Group]:
        asked.append(quick)
        return [Group(title="screens", rows=(row(),))]

    assert command("cli", "what it is", ["rich"], measured)(["--quick", "--json", str(tmp_path / "found")]) == 0
    found = Section.model_validate_json((tmp_path / "found").read_text())
    assert (asked, found.quick, found.groups[0].rows) == ([True], True, (row(),))
    assert "rich" in found.versions
    assert "1.5" in capsys.readouterr().out


def test_all_of_them_keep_the_others_figures_and_go_on_after_one_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, written = tmp_path / "measured.json", tmp_path / "page.md"
    monkeypatch.setattr(bench, "MEASURED", kept)
    monkeypatch.setattr(bench, "PAGE", written)
    kept.write_text(json.dumps({"engine": section(row(what="epochs"), name="engine").model_dump(mode="json")}))
    ran: list[tuple[str, bool]] = []

    def run(name: str, quick: bool) -> Section | None:
        ran.append((name, quick))
        return None if name == "budget" else section(row(what="screens"), name=name)

    monkeypatch.setattr(bench, "run", run)
    assert bench.main(["budget", "cli"]) == 1
    assert ran == [("budget", False), ("cli", False)]
    told = written.read_text()
    assert told.index("## Engine") < told.index("## Cli")
    assert "without figures here: orchestration, budget, observability, growth, spread, soak." in told
    assert set(json.loads(kept.read_text())) == {"engine", "cli"}

    written.unlink()
    assert bench.main(["--quick", "cli"]) == 0
    assert not written.exists()


def test_a_benchmark_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["speed"])
    assert "there is no benchmark speed" in capsys.readouterr().err
