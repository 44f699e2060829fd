"""What the house promises about itself: its names, its settings, its pinned packages."""

import re
import tomllib
from datetime import timedelta
from decimal import Decimal
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from domain.ledger import LimitsChange
from settings import PROJECT, Settings

PROJECT_FILE = tomllib.loads((PROJECT / "pyproject.toml").read_text())
OURS = {*PROJECT_FILE["tool"]["setuptools"]["packages"], *PROJECT_FILE["tool"]["setuptools"]["py-modules"]}


def test_no_installed_distribution_brings_a_top_level_name_of_ours() -> None:
    brought = {name: owners for name, owners in packages_distributions().items() if name.split(".")[0] in OURS}
    assert {owner for owners in brought.values() for owner in owners} <= {PROJECT_FILE["project"]["name"]}


def test_every_pinned_package_has_a_hash_and_no_file_names_where_it_comes_from() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt", "requirements-prefect.txt"):
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


def test_only_limits_that_somebody_has_set_are_named_to_a_running_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_DAILY_TOKEN_BUDGET", "500000")  # the default, but said
    assert Settings().named_limits == LimitsChange(tokens_per_day=500_000)


def test_how_long_a_cycle_may_live_is_a_setting_as_the_other_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESEARCH_POLICIES__LIFE", "P30D")
    assert Settings().policies.life == timedelta(days=30)


def test_a_setting_that_does_not_fit_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESEARCH_MAX_ACTIVE_CYCLES", "none")
    with pytest.raises(ValidationError, match="max_active_cycles"):
        Settings()


BEYOND = {
    "TRAINING_GATE_MIN_SKILL": "5",
    "TRAINING_GATE_MAX_LOSS_RATIO": "0",
    "TRAINING_GATE_MIN_LOSS_DECREASE": "-2",
    "BACKTEST_GATE_MIN_WIN_RATE": "1.01",
    "BACKTEST_GATE_MAX_DRAWDOWN": "40",
    "BACKTEST_GATE_MIN_SHARPE": "nan",
    "BACKTEST_GATE_MIN_TRADES": "-1",
}


@pytest.mark.parametrize(("variable", "value"), BEYOND.items(), ids=BEYOND)
def test_a_gate_out_of_its_bounds_is_refused_by_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError, match=variable):
        Settings()


def settings_of(file: Path) -> Settings:
    """Settings whose project file is this one."""

    class Elsewhere(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    return Elsewhere()


def test_the_project_file_takes_settings_by_field_and_by_variable(tmp_path: Path) -> None:
    file = tmp_path / "research.toml"
    file.write_text("max_active_cycles = 3\nBACKTEST_GATE_MIN_TRADES = 9\n[policies.train]\nattempts = 3\n")

    made = settings_of(file)

    assert (made.max_active_cycles, made.thresholds.backtest_min_trades, made.policies.train.attempts) == (3, 9, 3)


def test_a_key_of_the_project_file_that_nobody_knows_is_refused_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "research.toml"
    file.write_text("max_active_cycle = 3\n")
    with pytest.raises(ValueError, match=r"research\.toml: .*'max_active_cycle'; did you mean 'max_active_cycles'\?"):
        settings_of(file)


def test_a_row_of_the_policy_table_that_nobody_knows_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "research.toml"
    file.write_text("[policies.trian]\nattempts = 3\n")
    with pytest.raises(ValidationError, match="trian"):
        settings_of(file)


def test_the_env_file_may_hold_variables_of_other_programs(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("SOMEBODY_ELSES=1\nRESEARCH_MAX_ACTIVE_CYCLES=3\n")

    class Elsewhere(Settings):
        model_config = SettingsConfigDict(env_file=file)

    assert Elsewhere().max_active_cycles == 3
