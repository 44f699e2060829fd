"""What the house promises about itself: its names, its settings, its pinned packages."""

import re
import tomllib
from decimal import Decimal
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from pydantic import ValidationError

from settings import PROJECT, Settings

PROJECT_FILE = tomllib.loads((PROJECT / "pyproject.toml").read_text())
OURS = {*PROJECT_FILE["tool"]["setuptools"]["packages"], *PROJECT_FILE["tool"]["setuptools"]["py-modules"]}


def test_no_installed_distribution_brings_a_top_level_name_of_ours() -> None:
    brought = {name: owners for name, owners in packages_distributions().items() if name.split(".")[0] in OURS}
    assert {owner for owners in brought.values() for owner in owners} <= {PROJECT_FILE["project"]["name"]}


def test_every_pinned_package_has_a_hash_and_no_file_names_where_it_comes_from() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (PROJECT / name).read_text()
        pins = re.findall(r"^[A-Za-z0-9_.-]+==", text, re.MULTILINE)
        blocks = re.findall(r"^[A-Za-z0-9_.-]+==(?:.*\\\n)+\s+--hash=sha256:", text, re.MULTILINE)
        assert len(pins) == len(blocks) > 50
        assert "://" not in text


def test_flags_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_DAILY_TOKEN_BUDGET", "1000")
    assert Settings().daily_token_budget == 1000
    assert Settings(daily_token_budget=7).daily_token_budget == 7


@pytest.mark.parametrize(
    ("variable", "field"), [("HOME", "home"), ("DATABASE_URL", "database_url"), ("TASK_QUEUE", "task_queue")]
)
def test_variables_of_other_programs_are_not_ours(variable: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = getattr(Settings(), field)
    monkeypatch.setenv(variable, "/elsewhere")
    assert getattr(Settings(), field) == before


def test_a_relative_home_is_the_same_folder_for_every_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESEARCH_HOME", "lab")
    assert Settings().home == tmp_path / "lab"


def test_one_row_of_the_policy_table_is_overridden_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESEARCH_POLICIES__TRAIN__ATTEMPTS", "3")
    changed, usual = Settings().policies, type(Settings().policies)()
    assert changed.train == usual.train.model_copy(update={"attempts": 3})
    assert changed.model_copy(update={"train": usual.train}) == usual


def test_gates_and_limits_follow_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKTEST_GATE_MIN_TRADES", "20")
    monkeypatch.setenv("AGENT_DAILY_USD_BUDGET", "12.50")
    assert Settings().thresholds.backtest_min_trades == 20
    assert Settings().limits.usd_per_day == Decimal("12.50")


def test_a_setting_that_does_not_fit_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESEARCH_MAX_ACTIVE_CYCLES", "none")
    with pytest.raises(ValidationError, match="max_active_cycles"):
        Settings()
