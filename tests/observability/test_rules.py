"""The rules of temporal-dev: every alert has been seen to fire and to stay silent, and promtool says so."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import PROJECT
from workflows.policies import Policies

TEMPORAL_DEV = PROJECT / "temporal-dev"
RULE_TESTS = ("rules_test.yml", "rules_long_test.yml")
SEVERITIES = {"critical", "warning"}
ALERT_ASKED = re.compile(r'ALERTS\{alertname="(\w+)"(,alertstate="firing")?\}')

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None and "CI" not in os.environ,
    reason="promtool, which comes with Prometheus, is not on PATH",
)


def loaded(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def alerts(folder: Path = TEMPORAL_DEV) -> dict[str, dict[str, Any]]:
    groups = loaded(folder / "rules" / "alerts.yml")["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def asked(folder: Path = TEMPORAL_DEV, names: Sequence[str] = RULE_TESTS) -> tuple[set[str], set[str]]:
    """The alerts of which a case expects that they fire, and those of which one expects silence."""
    firing, silent = set(), set()
    for name in names:
        for test in loaded(folder / name)["tests"]:
            for case in test["promql_expr_test"]:
                for alert, state in ALERT_ASKED.findall(case["expr"]):
                    if not case["exp_samples"]:
                        silent.add(alert)
                    elif state:
                        firing.add(alert)
    return firing, silent


def promtool(*arguments: str, folder: Path = TEMPORAL_DEV) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=300)


def rewritten(tmp_path: Path, expression: str) -> Path:
    """A copy of the folder in which every alert has this expression."""
    shutil.copytree(TEMPORAL_DEV / "rules", tmp_path / "rules")
    for name in RULE_TESTS:
        shutil.copy(TEMPORAL_DEV / name, tmp_path)
    content = loaded(TEMPORAL_DEV / "rules" / "alerts.yml")
    for group in content["groups"]:
        for rule in group["rules"]:
            rule["expr"] = expression
    (tmp_path / "rules" / "alerts.yml").write_text(yaml.safe_dump(content))
    return tmp_path


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    firing, silent = asked()
    assert firing == set(alerts())
    assert silent == set(alerts())


def test_an_alert_without_a_case_is_found(tmp_path: Path) -> None:
    folder = rewritten(tmp_path, "vector(1)")
    file = folder / "rules" / "alerts.yml"
    file.write_text(file.read_text().replace("alert: ResearchBudgetLow", "alert: ResearchSomethingNew"))
    firing, _ = asked(folder)
    assert set(alerts(folder)) - firing == {"ResearchSomethingNew"}


@pytest.mark.parametrize("name", alerts())
def test_an_alert_waits_has_a_severity_and_tells_what_to_do(name: str) -> None:
    rule = alerts()[name]
    assert rule["for"]
    assert rule["labels"]["severity"] in SEVERITIES
    texts = rule["annotations"]
    assert set(texts) == {"summary", "description", "runbook"}
    assert all(text == text.strip() and len(text) > 20 for text in texts.values())


def test_a_runbook_names_only_commands_and_options_that_there_are() -> None:
    from typer.main import get_command

    from client.main import app

    command: Any = get_command(app)
    for rule in alerts().values():
        for typed in re.findall(r"`(research [^`]+)`", str(rule["annotations"]["runbook"])):
            words = typed.split()[1:]
            here = command.commands[words.pop(0)]
            while words and words[0] in getattr(here, "commands", {}):
                here = here.commands[words.pop(0)]
            known = {option for parameter in here.params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known, typed
            assert len([word for word in words if word.isupper()]) <= len(here.params), typed


def test_an_envelope_is_held_too_long_after_all_attempts_of_all_phases() -> None:
    usual = Policies()
    bound = (
        usual.design.schedule_to_close
        + usual.train.attempts * usual.train.start_to_close
        + usual.backtest.attempts * usual.backtest.start_to_close
        + usual.assess.schedule_to_close
    )
    assert str(alerts()["ResearchEnvelopeHeldTooLong"]["expr"]).endswith(f"> {bound.total_seconds():.0f}")


def test_what_every_worker_serves_of_one_ledger_is_never_summed_over_them() -> None:
    """A gauge of the ledger or the list stands inside a max (or says only that it is there), never right in a sum."""
    rules = [
        str(rule["expr"])
        for file in sorted((TEMPORAL_DEV / "rules").glob("*.yml"))
        for group in loaded(file)["groups"]
        for rule in group["rules"]
    ]
    shared = r"ktrdr_agent_(?:budget_\w+|active_cycles)\b"
    assert not [rule for rule in rules if re.search(rf"sum[^(]*(?:\([^()]*\))?\s*\(\s*{shared}", rule)]
    assert re.search(rf"sum[^(]*(?:\([^()]*\))?\s*\(\s*{shared}", "sum by (job) (ktrdr_agent_active_cycles)")


@needs_promtool
@pytest.mark.parametrize("arguments", [("check", "config", "prometheus.yml"), ("test", "rules", *RULE_TESTS)], ids=str)
def test_promtool_takes_configuration_rules_and_cases(arguments: tuple[str, ...]) -> None:
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    # `check config` reads the rules too, but ends well where it finds no file of them.
    assert "0 rule files" not in done.stdout


@needs_promtool
def test_promtool_finds_no_fault_in_the_rules() -> None:
    done = promtool("check", "rules", "--lint-fatal", *[str(file) for file in (TEMPORAL_DEV / "rules").glob("*.yml")])
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_cases_fail_for_alerts_that_never_fire(tmp_path: Path) -> None:
    done = promtool("test", "rules", *RULE_TESTS, folder=rewritten(tmp_path, "vector(0) > 1"))
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert {name for name in alerts() if f'alertname=\\"{name}\\"' in said} == set(alerts())


@needs_promtool
def test_the_cases_fail_for_alerts_that_always_fire(tmp_path: Path) -> None:
    short = RULE_TESTS[0]  # the other's cases last for days, which promtool takes long over
    done = promtool("test", "rules", short, folder=rewritten(tmp_path, "vector(1)"))
    said = done.stdout + done.stderr
    silent = {name for name in alerts() if re.search(rf'alertname=\\"{name}\\"[^\n]*\n\s*exp: nil', said)}
    assert silent == asked(names=[short])[1] != set()
