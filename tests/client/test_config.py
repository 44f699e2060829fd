"""`research config`: every setting, its value, and who said so; nothing that is secret."""

import json
from pathlib import Path

import pytest

from client.connection import running_note
from settings import Settings


@pytest.fixture(autouse=True)
def unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting is made but by the test: neither in the environment, nor in a file of this project."""
    for name, field in Settings.model_fields.items():
        monkeypatch.delenv(str(field.validation_alias or f"RESEARCH_{name.upper()}"), raising=False)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "temporal.toml"))
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setitem(Settings.model_config, "toml_file", tmp_path / "research.toml")


@pytest.fixture
def told(command):
    """Value and source of each variable, as JSON tells them."""

    def ask(*arguments: str) -> dict[str, tuple[object, str]]:
        ran = command("config", "-o", "json", *arguments)
        assert (ran.code, ran.err) == (0, "")
        return {each["variable"]: (each["value"], each["source"]) for each in ran.json}

    return ask


def test_every_setting_is_there_with_its_variable_and_default(told, tmp_path):
    found = told()

    aliases = {str(field.validation_alias) for field in Settings.model_fields.values() if field.validation_alias}
    assert aliases <= set(found)
    assert {f"RESEARCH_{name}" for name in ("HOME", "MODEL", "PRICES", "POLICIES__LIFE")} <= set(found)
    assert found["RESEARCH_POLICIES__TRAIN__HEARTBEAT"] == ("PT10S", "default")
    assert found["STRATEGIES_DIR"] == (str(tmp_path / "home" / "strategies"), "default")
    assert found["TEMPORAL_ADDRESS"] == ("localhost:7233", "default")
    assert {source for _, source in found.values()} == {"flag", "default"}


def test_each_variable_that_is_told_is_the_one_that_sets_it(told, monkeypatch):
    odd = {"not_retried": '["x"]', "backoff": "1.5", "attempts": "7", "lost_answers": "7"}
    rows = [variable for variable in told() if "POLICIES__" in variable]
    for variable in rows:
        monkeypatch.setenv(variable, odd.get(variable.rpartition("__")[2].lower(), "PT77S"))

    found = told()

    assert len(rows) > 50
    assert {found[variable][1] for variable in rows} == {"environment"}
    assert {json.dumps(found[variable][0]) for variable in rows} == {'["x"]', "1.5", "7", '"PT1M17S"'}


def test_of_four_sources_the_first_that_names_a_setting_decides(told, tmp_path, monkeypatch):
    (tmp_path / "research.toml").write_text(
        'task_queue = "toml"\nmodel = "toml"\nAGENT_DAILY_USD_BUDGET = 4\ntemporal_namespace = "toml"\n'
        '[policies.train]\nattempts = 9\nheartbeat = "PT9S"\n'
    )
    (tmp_path / ".env").write_text(
        "RESEARCH_MODEL=dotenv\nRESEARCH_POLICIES__TRAIN__ATTEMPTS=8\nAGENT_DAILY_USD_BUDGET=3"
    )
    monkeypatch.setenv("AGENT_DAILY_USD_BUDGET", "2.50")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "environment")

    found = told("--namespace", "typed")

    assert found["RESEARCH_TASK_QUEUE"] == ("toml", "research.toml")
    assert found["RESEARCH_MODEL"] == ("dotenv", ".env")
    assert found["RESEARCH_POLICIES__TRAIN__ATTEMPTS"] == (8, ".env")
    assert found["RESEARCH_POLICIES__TRAIN__HEARTBEAT"] == ("PT9S", "research.toml")
    assert found["AGENT_DAILY_USD_BUDGET"] == ("2.50", "environment")
    assert found["TEMPORAL_NAMESPACE"] == ("typed", "flag")


@pytest.mark.parametrize("arguments", [(), ("--all",), ("-o", "json"), ("-o", "jsonl")])
def test_no_secret_is_shown(command, tmp_path, monkeypatch, arguments):
    (tmp_path / "key").write_text("sk-in-a-file")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-in-a-variable")
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("KTRDR_API_TOKEN", "t0ken")
    monkeypatch.setenv("RESEARCH_DATABASE_URL", "postgresql://me:pass/w@rd@db/research?password=more&sslmode=require")

    ran = command("config", *arguments)

    assert ran.code == 0
    for secret in ("sk-in", "t0ken", "rd@db", "pass/", "more"):
        assert secret not in ran.out
    assert "postgresql://********@db/research?password=********&sslmode=require" in ran.out
    assert ran.out.count("environment") == 4


def test_the_server_that_commands_go_to_is_told_also_where_no_setting_names_it(told, tmp_path):
    (tmp_path / "home").mkdir()
    running_note(Settings(home=tmp_path / "home")).write_text('{"address": "127.0.0.1:7999", "ui_url": null}')
    dev = told()
    (tmp_path / "temporal.toml").write_text('[profile.default]\naddress = "cloud:7233"\nnamespace = "theirs"\n')
    profile = told()

    assert (dev["TEMPORAL_ADDRESS"], dev["TEMPORAL_NAMESPACE"]) == (
        ("127.0.0.1:7999", "research dev"),
        ("research", "default"),
    )
    assert (profile["TEMPORAL_ADDRESS"], profile["TEMPORAL_NAMESPACE"]) == (
        ("cloud:7233", "temporal profile"),
        ("theirs", "temporal profile"),
    )


def test_text_shows_what_is_set_and_only_counts_policies_that_nobody_changed(command, monkeypatch):
    monkeypatch.setenv("RESEARCH_POLICIES__TRAIN__ATTEMPTS", "3")

    ran = command("config")

    assert "RESEARCH_POLICIES__TRAIN__ATTEMPTS  3 " in ran.out
    assert "RESEARCH_POLICIES__TRAIN__BACKOFF" not in ran.out
    assert "policies at their defaults" in ran.out
    assert "RESEARCH_POLICIES__TRAIN__BACKOFF" in command("config", "--all").out


def test_a_wrong_value_is_told_by_name(command, monkeypatch):
    monkeypatch.setenv("RESEARCH_POLICIES__TRAIN__ATTEMPTS", "many")

    ran = command("config")

    assert (ran.code, ran.out) == (4, "")
    assert "policies.train.attempts" in ran.err
