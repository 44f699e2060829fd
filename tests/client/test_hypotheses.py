"""`research hypotheses`: what was raised and what became of it, as text and as JSON. No server is needed."""

from pathlib import Path

import pytest

from domain.results import Assessment, Hypothesis, HypothesisStatus, Settlement, Verdict
from store.cycles import Store


@pytest.fixture
def store(tmp_path: Path):
    made = Store.open(f"sqlite:///{tmp_path / 'home' / 'research.db'}", migrate=True)
    yield made
    made.close()


def assessed(completed, cycle_id: str, *, raised=(), settled=()):
    """The completed cycle under another id, with what its assessment says of hypotheses."""
    assessment = Assessment(
        verdict=Verdict.POOR,
        strengths=("It was tried.",),
        weaknesses=("It lost.",),
        hypotheses=tuple(Hypothesis(text=text, rationale="It suggests itself.") for text in raised),
        settled=settled,
    )
    changes = {"cycle_id": cycle_id, "run_id": f"run-of-{cycle_id}", "assessment": assessment}
    return completed.model_copy(update=changes)


@pytest.fixture
def filled(store: Store, completed) -> Store:
    """Two hypotheses of one cycle, the first of which another cycle refuted."""
    store.record(
        assessed(completed, "cycle-raises", raised=("With half the trades it gains.", "\x1b[2JIt gains on AAPL."))
    )
    said = Settlement(hypothesis_id="h1", status=HypothesisStatus.REFUTED, why="It lost 3 %.")
    store.record(assessed(completed, "cycle-settles", settled=(said,)))
    return store


def test_hypotheses_are_listed_with_who_raised_and_who_settled_them(command, filled):
    ran = command("hypotheses")

    assert ran.code == 0
    newest, oldest = ran.out.splitlines()[1:3]
    assert newest.split()[:6] == ["h2", "untested", "EURUSD", "1h", "cycle-raises", "-"]
    assert oldest.split()[:6] == ["h1", "refuted", "EURUSD", "1h", "cycle-raises", "cycle-settles"]
    assert "refuted: It lost 3 %." in ran.out
    assert "\x1b" not in ran.out


def test_as_json_they_are_whole(command, filled):
    (found,) = command("hypotheses", "--status", "refuted", "-o", "json").json

    assert (found["id"], found["status"], found["raised_by"], found["settled_by"]) == (
        "h1",
        "refuted",
        "cycle-raises",
        "cycle-settles",
    )
    assert (found["rationale"], found["why"]) == ("It suggests itself.", "It lost 3 %.")


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--status", "untested"], ["h2"]),
        (["--status", "validated"], []),
        (["--symbol", "eurusd"], ["h2", "h1"]),
        (["--symbol", "AAPL"], []),
        (["--limit", "1"], ["h2"]),
    ],
)
def test_they_are_filtered_by_status_and_symbol(command, filled, options, ids):
    assert [found["id"] for found in command("hypotheses", *options, "-o", "json").json] == ids


def test_where_there_are_none_it_says_so(command, store):
    ran = command("hypotheses")

    assert ran.code == 0
    assert "no such hypotheses yet" in ran.out


def test_without_a_store_it_says_what_makes_one(command):
    ran = command("hypotheses")

    assert ran.code == 1
    assert "there is no store" in ran.err
    assert "research dev" in ran.err
