"""Strategy files: written whole, never over another, read only if unchanged and inside their folder."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from domain.cycle import StrategyRef
from domain.errors import ErrorCode, ResearchError
from domain.strategy import load_strategy, strategy_hash
from store.strategies import StrategyFiles

TEXT = """\
name: one
training_data:
  symbols: {mode: single, symbol: EURUSD}
  timeframes: {mode: single, timeframe: 1h}
indicators:
  rsi_14: {type: rsi, period: 14}
fuzzy_sets:
  rsi: {indicator: rsi_14, low: [0, 20, 40], high: [60, 80, 100]}
nn_inputs:
  - {fuzzy_set: rsi, timeframes: all}
model: {type: mlp, architecture: {hidden_layers: [8]}}
training:
  labels: {source: zigzag, zigzag_threshold: 0.01}
  loss: cross_entropy
"""


@pytest.fixture
def files(tmp_path: Path) -> StrategyFiles:
    """A folder for strategies that does not exist yet."""
    return StrategyFiles(tmp_path / "strategies")


def test_a_strategy_is_read_as_it_was_saved(files: StrategyFiles) -> None:
    ref = files.save("one", "name: one  # größer\n")
    assert (ref.name, ref.path) == ("one", "one.yaml")
    assert files.read(ref) == "name: one  # größer\n"


def test_saving_the_same_again_gives_the_same_reference(files: StrategyFiles) -> None:
    assert files.save("one", TEXT) == files.save("one", TEXT)
    assert [path.name for path in files.root.iterdir()] == ["one.yaml"]


def test_another_text_under_a_name_gets_a_name_of_its_own(files: StrategyFiles) -> None:
    first, second = files.save("one", TEXT), files.save("one", "other")
    assert second.name == f"one_{second.sha256[:8]}"
    assert files.read(first) == TEXT
    assert files.read(second) == "other"
    assert files.save("one", "other") == second


def test_the_longest_name_still_leaves_room_for_a_second_text(files: StrategyFiles) -> None:
    files.save("n" * 80, TEXT)
    second = files.save("n" * 80, "other")
    assert len(second.name) == 80
    assert files.read(second) == "other"


def test_processes_that_save_at_once_overwrite_nothing(
    files: StrategyFiles, at_once: Callable[[str, Sequence[Sequence[str]]], list[str]]
) -> None:
    printed = at_once(
        "import pathlib\n"
        "from store.strategies import StrategyFiles\n"
        "files = StrategyFiles(pathlib.Path(sys.argv[1]))\n"
        "print('\\n'.join(files.save(f'n{i}', sys.argv[2] * i).model_dump_json() for i in range(1, 20)))\n",
        [[str(files.root), "a"], [str(files.root), "b"]],
    )
    for letter, lines in zip("ab", printed, strict=True):
        for number, line in enumerate(lines.splitlines(), 1):
            assert files.read(StrategyRef.model_validate_json(line)) == letter * number
    assert len(list(files.root.iterdir())) == 38


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a.b", "a b", "n" * 81, "ä", ".", "a\0"])
def test_a_name_that_is_more_than_a_name_is_refused(files: StrategyFiles, name: str) -> None:
    with pytest.raises(ResearchError, match="is not a strategy's name") as refused:
        files.save(name, TEXT)
    assert refused.value.code is ErrorCode.INVALID_STRATEGY
    assert not files.root.exists()


def test_a_text_that_is_too_large_is_refused_before_it_is_written(files: StrategyFiles) -> None:
    with pytest.raises(ResearchError, match="are the most"):
        files.save("large", "x" * 300_000)
    assert not files.root.exists()


def test_a_file_that_was_changed_is_not_read(files: StrategyFiles) -> None:
    ref = files.save("one", TEXT)
    (files.root / ref.path).write_text(TEXT + "# and more\n")
    with pytest.raises(ResearchError, match="was changed since it was saved") as refused:
        files.read(ref)
    assert refused.value.code is ErrorCode.INVALID_STRATEGY


def test_a_file_that_is_gone_is_named(files: StrategyFiles) -> None:
    ref = files.save("one", TEXT)
    (files.root / ref.path).unlink()
    with pytest.raises(ResearchError, match=r"there is no strategy file .*one\.yaml"):
        files.read(ref)


def test_a_link_that_leads_out_of_the_folder_is_not_followed(files: StrategyFiles, tmp_path: Path) -> None:
    ref = files.save("one", TEXT)
    secret = tmp_path / "secret.yaml"
    secret.write_text(TEXT)
    (files.root / "link.yaml").symlink_to(secret)
    with pytest.raises(ResearchError, match="leads out of"):
        files.read(ref.model_copy(update={"path": "link.yaml"}))


def test_the_list_names_what_can_be_read(files: StrategyFiles, tmp_path: Path) -> None:
    assert files.list() == ()
    two, one = files.save("two", "2"), files.save("one", "1")
    (files.root / "no name.yaml").write_text("x")
    (files.root / "notes.txt").write_text("x")
    (files.root / "large.yaml").write_text("x" * 300_000)
    (files.root / "link.yaml").symlink_to(tmp_path)
    assert files.list() == (one, two)
    assert files.find("two") == two
    assert files.find("three") is None


def test_facts_tell_the_canonical_hash_and_the_designers_parameters(files: StrategyFiles) -> None:
    parameters = json.dumps({"label": "zigzag"})
    found = files.facts(files.save("one", TEXT, parameters))
    assert found.text == TEXT
    assert found.parameters == parameters
    assert found.strategy_hash == strategy_hash(load_strategy(TEXT).strategy)


def test_a_strategy_saved_by_hand_has_facts_without_parameters(files: StrategyFiles) -> None:
    assert files.facts(files.save("one", TEXT)).parameters is None


def test_a_file_that_is_no_strategy_has_no_facts(files: StrategyFiles) -> None:
    with pytest.raises(ResearchError, match="the strategy one is not valid") as refused:
        files.facts(files.save("one", "name: 1\n"))
    assert refused.value.code is ErrorCode.INVALID_STRATEGY


def test_a_folder_that_cannot_be_written_is_a_matter_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResearchError, match="Check the path") as refused:
        StrategyFiles(tmp_path / "file").save("one", TEXT)
    assert refused.value.code is ErrorCode.STORE_UNAVAILABLE
