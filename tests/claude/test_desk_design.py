"""The designer's desk: what it can find out, what it may hand in, and what becomes of that."""

from pathlib import Path
from typing import Any

import pytest

from claude.design_desk import DesignDesk
from domain.errors import ErrorCode, ResearchError
from domain.memory import DesignNotes
from domain.strategy import load_strategy
from engine.bars import encode, load_bars
from engine.splits import TRAIN
from tests.claude.desks import CLAIM, Laboratory, backtested, completed, laboratory, request, strategy, submitted


@pytest.fixture
def lab(tmp_path: Path) -> Laboratory:
    return laboratory(tmp_path)


def recorded(lab: Laboratory, number: int, cycle_id: str, *raised: str) -> None:
    """A completed cycle with that strategy, which raised these hypotheses."""
    lab.record(completed(backtested(lab.kept(strategy(number)), cycle_id), None, *raised))


def test_a_new_valid_strategy_is_kept_under_the_name_and_hypothesis_that_were_handed_in(lab: Laboratory) -> None:
    desk = lab.design()
    outcome = submitted(desk, strategy())
    assert outcome.strategy is not None
    kept = load_strategy(lab.files.read(outcome.strategy)).strategy
    assert (outcome.strategy.path, kept.name, kept.hypothesis) == ("tried.yaml", "tried", CLAIM)
    assert (outcome.hypothesis, outcome.memory_snapshot) == (CLAIM, desk.memory_snapshot)


def test_the_same_hand_in_gives_the_same_file_byte_for_byte(lab: Laboratory, tmp_path: Path) -> None:
    first = submitted(lab.design(), strategy()).strategy
    again = submitted(laboratory(tmp_path / "elsewhere").design(), f"# by another hand\n{strategy()}").strategy
    assert first is not None
    assert first == again


def test_a_name_that_is_taken_is_never_written_over(lab: Laboratory) -> None:
    one, two = (submitted(lab.design(), strategy(number)).strategy for number in (1, 2))
    assert one is not None
    assert two is not None
    assert (one.name, two.name) == ("tried", f"tried_{two.sha256[:8]}")
    assert "period: 11" in lab.files.read(one)


def test_what_is_wrong_comes_back_with_line_field_and_what_would_be_right(lab: Laboratory) -> None:
    text = strategy().replace("epochs: 3", "epoch: 3").replace("type: rsi", "type: rsy")
    outcome = submitted(lab.design(), text)
    assert outcome.is_error
    assert "line 6: indicators.rsi.type is 'rsy'" in outcome.text
    assert "line 22: training.epoch is not a key of the grammar here (did you mean 'epochs'?)" in outcome.text


REFUSED = {
    "a path for a name": ({"name": "../../etc/cron"}, "name"),
    "a hidden file for a name": ({"name": ".bashrc"}, "name"),
    "an argument too many": ({"shell": "rm -rf /"}, "shell"),
    "no hypothesis": ({"hypothesis": " " * 60}, "hypothesis"),
    "a strategy of 2 MB": ({"yaml": "x" * 2_000_000}, "yaml"),
    "a strategy that is no text": ({"yaml": ["name: x"]}, "yaml"),
    "text that is no unicode": ({"yaml": "\ud800"}, "yaml"),
    "YAML that would make an object": ({"yaml": "!!python/object/apply:os.system [id]"}, "the tag"),
    "YAML that grows": ({"yaml": "a: &a [x, x]\nb: [*a, *a]"}, "the anchor"),
    "a hypothesis that nobody raised": ({"tests_hypothesis": "h99"}, "h99 is not an open hypothesis"),
    "an id that is none": ({"tests_hypothesis": "1; drop table"}, "tests_hypothesis"),
    "another symbol": ({"yaml": strategy().replace("EURUSD", "AAPL")}, "this cycle's is EURUSD"),
    "another timeframe": ({"yaml": strategy().replace("1h", "4h")}, "this cycle's is 1h"),
    "what cannot be trained": (
        {"yaml": strategy().replace("zigzag, zigzag_threshold: 0.005", "regime")},
        "training.labels.source: regime",
    ),
    "dates without bars": (
        {"yaml": strategy().replace("training_data:", "training_data:\n  start_date: 2030-01-01")},
        "2030-01-01",
    ),
    "labels that are too rare": ({"yaml": strategy().replace("0.005", "0.49")}, "too little to learn"),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_taken_is_told_in_words_and_leaves_no_file(
    lab: Laboratory, changes: dict[str, Any], words: str
) -> None:
    outcome = submitted(lab.design(), strategy(), **changes)
    assert outcome.is_error
    assert words in outcome.text
    assert len(outcome.text) < 8_200
    assert outcome.strategy is None
    assert lab.files.list() == ()


@pytest.mark.parametrize("arguments", [None, [], "submit", 7, {"name": {"a": [None] * 50}}, {"": {}}])
def test_arguments_of_any_shape_are_told_what_is_missing(lab: Laboratory, arguments: Any) -> None:
    desk = lab.design()
    for tool in desk.tools:
        assert desk.use(tool.name, arguments).is_error


def test_a_tool_that_there_is_not_names_those_there_are(lab: Laboratory) -> None:
    outcome = lab.design().use("run_shell<script>", {})
    assert outcome.is_error
    assert "validate_strategy" in outcome.text
    assert "<script>" not in outcome.text


def test_a_strategy_that_was_tried_is_refused_under_any_name_and_wording(lab: Laboratory) -> None:
    recorded(lab, 3, "cycle-old")
    reworded = strategy(3).replace("rsi:", "strength:").replace("indicator: rsi", "indicator: strength")
    outcome = submitted(lab.design(), reworded)
    assert outcome.is_error
    assert "cycle-old ran the same experiment" in outcome.text


def test_a_design_made_again_from_an_earlier_memory_is_the_same_design(lab: Laboratory) -> None:
    desk = lab.design()
    first = submitted(desk, strategy(3)).strategy
    recorded(lab, 3, "cycle-made-of-it")
    again = DesignDesk(request(memory_snapshot=desk.memory_snapshot), None, lab.store, lab.files, lab.data)
    assert (again.opening, submitted(again, strategy(3)).strategy) == (desk.opening, first)
    assert lab.design().opening != desk.opening


def test_a_strategy_that_another_cycle_tries_meanwhile_is_no_longer_new(lab: Laboratory) -> None:
    begun = lab.design().memory_snapshot
    recorded(lab, 3, "cycle-meanwhile")
    later_turn = lab.design(memory_snapshot=begun)
    assert "cycle-meanwhile ran the same experiment" in submitted(later_turn, strategy(3)).text


def test_checking_a_strategy_keeps_nothing(lab: Laboratory) -> None:
    outcome = lab.design().use("validate_strategy", {"yaml": strategy()})
    assert "Valid, trainable here and new: 3 features" in outcome.text
    assert not outcome.final
    assert lab.files.list() == ()


def test_the_hypothesis_that_a_design_tests_is_kept_with_its_strategy(lab: Laboratory) -> None:
    recorded(lab, 3, "cycle-old", "A slower RSI tells more.")
    outcome = submitted(lab.design(), strategy(4), tests_hypothesis="h1")
    assert outcome.strategy is not None
    notes = DesignNotes.among(lab.files.facts(outcome.strategy).parameters)
    assert notes is not None
    assert notes.tests_hypothesis == "h1"


def test_an_indicator_is_told_with_its_bounds_and_its_values_on_train(lab: Laboratory) -> None:
    text = lab.design().use("get_indicator", {"name": "STOCHASTIC"}).text
    assert "k_period: a whole number from 1 to 100 (default 14)" in text
    assert "On this cycle's train part" in text
    assert "did you mean 'macd'" in lab.design().use("get_indicator", {"name": "mcad"}).text


def test_no_price_after_the_train_part_changes_what_a_designer_is_told(lab: Laboratory) -> None:
    def told() -> list[str]:
        desk = lab.design()
        return [desk.opening, *(desk.use("get_indicator", {"name": name}).text for name in ("sma", "atr", "roc"))]

    bars = load_bars("EURUSD", "1h", lab.data)
    before = told()
    frame = bars.frame.copy()
    frame.iloc[int(len(frame) * TRAIN) :] *= 3
    _, content = encode(
        frame, symbol="EURUSD", timeframe="1h", asset_class=bars.asset_class, source="a test", licence="none"
    )
    lab.data.mkdir()
    (lab.data / "EURUSD_1h.csv.gz").write_bytes(content)
    assert not load_bars("EURUSD", "1h", lab.data).frame.equals(bars.frame)
    assert told() == before


def test_experiments_are_listed_by_outcome_and_skill_and_told_one_by_one(lab: Laboratory) -> None:
    for number, cycle_id in ((1, "cycle-a"), (2, "cycle-b")):
        recorded(lab, number, cycle_id)
    desk = lab.design()
    asked: dict[str, Any] = {"symbol": None, "outcome": "completed", "order": "newest", "limit": 1}
    assert "cycle-b" in desk.use("list_experiments", asked).text
    assert "cycle-a" not in desk.use("list_experiments", asked).text
    assert desk.use("list_experiments", asked | {"outcome": "failed"}).text == "There are none."
    told = desk.use("get_experiment", {"cycle_id": "cycle-a"}).text
    assert "period: 11" in told
    assert "accuracy 0.480 in train, 0.450 in validation" in told
    assert desk.use("get_experiment", {"cycle_id": "cycle-c"}).is_error


def test_bars_that_there_are_not_end_the_design_with_their_code(lab: Laboratory) -> None:
    with pytest.raises(ResearchError) as refused:
        lab.design(symbol="NOSUCH")
    assert refused.value.code is ErrorCode.DATA_UNAVAILABLE
