"""What a report says: all that there is, what is missing and why, and nobody's words as markup."""

import base64
import hashlib
import json
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory

from client.audit_calls import HistoryReader
from client.places import places_of
from client.report import report
from client.report_data import Material
from client.report_files import Missing
from client.views import view
from domain.cycle import CycleStatus
from settings import Settings

from .conftest import Command
from .cycles import COMMENT, HOSTILE, House

HISTORIES = Path(__file__).parent.parent / "workflows" / "histories"
NOWHERE = Missing("It was never there.")


class Page(HTMLParser):
    """A page taken apart as a browser does it."""

    def __init__(self, written: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words = ""
        self._inside = ""
        self.feed(written)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = tag
            self.scripts += [""] if tag == "script" else []

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif not self._inside:
            self.words += data


@pytest.fixture(scope="module")
def whole(pages: dict[str, Path]) -> Page:
    return Page(pages["cycle-real"].read_text())


def of_nothing_but(cycle: CycleStatus, settings: Settings) -> Material:
    """The material of a cycle whose files are all gone."""
    shown = view(cycle, None, places_of(cycle, settings))
    return Material(shown, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, datetime.now(UTC))


def test_the_words_of_others_stay_words(whole: Page):
    assert whole.words.count(HOSTILE) == 4  # the brief: above, among the settings, and in two command lines
    assert COMMENT.strip() in whole.words
    assert [tag for tag, _ in whole.tags if tag in ("img", "iframe", "link", "object")] == []
    assert len(whole.scripts) == 3
    assert "alert(" not in whole.scripts[2]


def test_only_the_scripts_of_the_page_may_run_and_nothing_may_be_loaded(whole: Page):
    policy = next(
        attributes["content"] or ""
        for tag, attributes in whole.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    _, library, paint = whole.scripts
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in (library, paint)]
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{hashes[0]}' 'sha256-{hashes[1]}';" in policy
    sources = [attributes for tag, attributes in whole.tags if attributes.get("src") or attributes.get("href")]
    assert sources == []


def test_a_report_tells_the_verdict_and_what_decided_it(whole: Page, home: House):
    cycle = home.cycles["cycle-real"]
    assert cycle.assessment
    for words in (*cycle.assessment.decided_by, *cycle.assessment.strengths, *cycle.assessment.weaknesses):
        assert words in whole.words
    assert "By phase, not by call. The Temporal server could not be reached" in whole.words


def test_a_report_holds_what_it_takes_to_run_the_cycle_again(whole: Page, home: House):
    cycle = home.cycles["cycle-real"]
    assert cycle.training
    assert cycle.strategy
    for told in (
        *(cycle.training.model_id, cycle.training.data_sha256, cycle.strategy.sha256, cycle.memory_snapshot),
        *("jax 0.", "temporalio 1."),
    ):
        assert str(told) in whole.words
    line = next(line for line in whole.words.splitlines() if line.startswith("RESEARCH_COMMISSION="))
    words = shlex.split(line)
    assert words[:4] == ["RESEARCH_COMMISSION=2e-05", "RESEARCH_HALF_SPREAD=3e-05", "research", "start"]
    assert words[words.index("--strategy") + 1] == str(home.settings.strategies / "planted_edge.yaml")
    assert words[words.index("--seed") + 1] == "1"
    assert "backtest_max_drawdown=0.4" in words
    assert words[-2:] == ["--", HOSTILE]


def test_the_plotted_months_and_drawdown_are_the_results_own(whole: Page, home: House):
    backtest = home.cycles["cycle-real"].backtest
    assert backtest
    figures = json.loads(whole.scripts[0])
    traces = {trace.get("name"): trace for figure in figures.values() for trace in figure["data"]}
    assert traces["net of costs"]["y"][-1] - 1 == pytest.approx(backtest.total_return, abs=1e-6)
    assert -min(traces["drawdown, net"]["y"]) == pytest.approx(backtest.max_drawdown, abs=1e-6)
    months = next(figure["data"][0]["z"] for figure in figures.values() if figure["data"][0]["type"] == "heatmap")
    product = 1.0
    for month in months:
        product *= 1 + (month[0] or 0.0)
    assert product - 1 == pytest.approx(backtest.total_return)


def test_a_report_tells_years_regimes_and_the_luck_of_random_entries(whole: Page, home: House, pages: dict[str, Path]):
    backtest = home.cycles["cycle-real"].backtest
    assert backtest
    assert backtest.by_year
    together = "".join(whole.words.split())
    for one in (*backtest.by_year, *backtest.by_regime):
        assert f"{one.name.replace(' ', '')}{one.bars:,}{one.total_return * 100:.2f}%" in together
    assert f"better than {backtest.luck_percentile or 0:.1%}".replace("%", " %") in whole.words
    assert f"Sharpe above 0: {(backtest.probabilistic_sharpe or 0) * 100:.1f} % probable" in whole.words
    untold = Page(pages["cycle-service"].read_text()).words
    assert "kinds of market" not in untold
    assert "Random entries" not in untold


@pytest.mark.parametrize(
    ("name", "told"),
    {
        "cycle-rejected": "There is no backtest: a gate stopped the cycle while training.",
        "cycle-failed": "training_failed: the loss is no number",
        "cycle-cancelled": "There is no strategy: the cycle ended as cancelled while designing.",
        "cycle-refused": "There is no training: the cycle ended as refused while queued.",
        "cycle-service": "The service that backtested gives no equity curve, only the figures.",
    }.items(),
)
def test_a_report_of_parts_says_what_is_missing_and_why(pages: dict[str, Path], name: str, told: str):
    page = Page(pages[name].read_text())
    assert told in page.words
    assert HOSTILE in page.words
    assert not any(tag == "img" for tag, _ in page.tags)


def test_a_cycle_that_runs_has_a_page_of_what_it_has(home: House):
    page = Page(report(of_nothing_but(home.cycles["cycle-running"], home.settings)))
    assert "The cycle still runs: designing." in page.words
    assert "There is no training yet" in page.words
    assert page.scripts == ["{}"]


def test_calls_are_told_one_by_one_where_the_history_has_them(home: House):
    reader = HistoryReader("cycle-real", "run-real")
    for event in WorkflowHistory.from_json("x", (HISTORIES / "claude_completed.json").read_text()).events:
        reader.read(event)
    calls = reader.telling().calls
    material = replace(of_nothing_but(home.cycles["cycle-real"], home.settings), calls=calls)

    page = Page(report(material))

    tokens = json.loads(page.scripts[0])
    drawn = next(figure for figure in tokens.values() if figure["data"][0].get("name") == "input")
    assert drawn["data"][0]["y"] == ["1. design", "2. design", "3. design", "4. assess", "5. assess"]
    assert [str(call.total_tokens) in page.words.replace(",", "") for call in calls] == [True] * 5
    assert "By phase" not in page.words


def test_the_command_says_where_the_page_is(command: Command, tmp_path: Path):
    out = tmp_path / "folder" / "page.html"
    ran = command("report", "cycle-failed", "--out", str(out), "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {"cycle_id": "cycle-failed", "path": str(out), "bytes": out.stat().st_size}
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written_leaves_what_was_there(command: Command, tmp_path: Path):
    (tmp_path / "there").mkdir()
    ran = command("report", "cycle-failed", "--out", str(tmp_path / "there"))

    assert ran.code == 1
    assert f"cannot write {tmp_path / 'there'}" in ran.err
    assert "next: name another file" in ran.err
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]


def test_a_cycle_that_nobody_knows_is_told(command: Command):
    ran = command("report", "cycle-nowhere")
    assert ran.code == 6
    assert "no Temporal server answers" in ran.err
    assert command("report", " ").code == 2


def test_a_file_that_is_no_page_is_not_written_over(command: Command, tmp_path: Path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("name: mine\n")
    ran = command("report", "cycle-failed", "--out", str(mine))
    assert (ran.code, "something lies there that is no page" in ran.err) == (1, True)
    assert mine.read_text() == "name: mine\n"
    page = tmp_path / "page.html"
    assert [command("report", "cycle-failed", "--out", str(page)).code for _ in range(2)] == [0, 0]
