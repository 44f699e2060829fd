"""The dashboard of temporal-dev: what a linter of dashboards asks, each rule shown to fail on a broken copy."""

import copy
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import PROJECT

Json = dict[str, Any]
Rule = Callable[[Json], list[str]]

GRAFANA = PROJECT / "temporal-dev" / "grafana"
DASHBOARD: Json = json.loads((GRAFANA / "dashboards" / "research.json").read_text())

COUNTERS = {
    "ktrdr_agent_cycles_total",
    "ktrdr_agent_tokens_total",
    "ktrdr_agent_gate_results_total",
    "ktrdr_agent_cost_usd_total",
    "ktrdr_agent_claude_requests_total",
    "ktrdr_agent_errors_total",
}
HISTOGRAMS = {"ktrdr_agent_cycle_duration_seconds", "ktrdr_agent_phase_duration_seconds"}
SHARED = {
    "ktrdr_agent_active_cycles",
    "ktrdr_agent_budget_tokens",
    "ktrdr_agent_budget_usd",
    "ktrdr_agent_budget_reset_timestamp_seconds",
    "ktrdr_agent_budget_paused",
    "ktrdr_agent_budget_waiting_cycles",
    "ktrdr_agent_budget_oldest_envelope_seconds",
    "ktrdr_agent_budget_overrun_tokens",
}
"""Gauges of the one ledger and the one list of cycles: every worker serves them, so a sum counts them once a worker."""
OURS = COUNTERS | HISTOGRAMS | SHARED | {"ktrdr_agent_scrape_success"}
OTHERS_COUNTERS = {"process_cpu_seconds_total", "temporal_activity_execution_failed_total"}
OTHERS_HISTOGRAMS = {
    "temporal_activity_schedule_to_start_latency_seconds",
    "temporal_workflow_task_schedule_to_start_latency_seconds",
}
OTHERS_GAUGES = {
    "up",
    "ALERTS",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "temporal_num_pollers",
    "temporal_worker_task_slots_available",
    "temporal_worker_task_slots_used",
}
KNOWN = OURS | OTHERS_COUNTERS | OTHERS_HISTOGRAMS | OTHERS_GAUGES

UNITS = {"short", "s", "bytes", "percentunit", "currencyUSD", "bool_yes_no"}
SUFFIX = re.compile(r"_(?:bucket|sum|count)$")
WORDS = {"by", "on", "ignoring", "without", "and", "or", "unless", "offset", "bool", "group_left", "group_right"}
PLANNED = {"Research Cycles", "Cycle Outcomes", "Phase Durations", "Gate Pass Rates", "Token Usage"}


def metrics(expression: str) -> list[str]:
    """The names of metrics in an expression, histograms by their base name."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^()]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\boffset\s+\w+", " ", bare)
    names = re.findall(r"(?<![\w:.$])[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])", bare)
    bases = {name: SUFFIX.sub("", name) for name in names if name not in WORDS}
    return [base if base in HISTOGRAMS | OTHERS_HISTOGRAMS else name for name, base in bases.items()]


def all_panels(dashboard: Json) -> list[Json]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def all_targets(dashboard: Json) -> Iterator[tuple[str, Json]]:
    for panel in all_panels(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target


def expressions(dashboard: Json) -> list[tuple[str, str]]:
    return [(title, target["expr"]) for title, target in all_targets(dashboard)]


def datasources(node: Any) -> Iterator[Any]:
    """Every value that stands under the key datasource, however deep."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "datasource":
                yield value
            yield from datasources(value)
    elif isinstance(node, list):
        for value in node:
            yield from datasources(value)


def the_datasource_is_the_variable_everywhere(dashboard: Json) -> list[str]:
    ours = {"type": "prometheus", "uid": "${datasource}"}
    grafanas = {"type": "grafana", "uid": "-- Grafana --"}
    lacking = [panel["title"] for panel in all_panels(dashboard) if panel.get("datasource") != ours]
    lacking += [title for title, target in all_targets(dashboard) if target.get("datasource") != ours]
    variables = dashboard["templating"]["list"]
    lacking += [each["name"] for each in variables if each["type"] == "query" and each.get("datasource") != ours]
    if not any(each["type"] == "datasource" and each["name"] == "datasource" for each in variables):
        lacking.append("no variable datasource")
    return lacking + [str(each) for each in datasources(dashboard) if each not in (ours, grafanas)]


def every_panel_has_a_unit(dashboard: Json) -> list[str]:
    units = {panel["title"]: panel["fieldConfig"]["defaults"].get("unit", "") for panel in all_panels(dashboard)}
    return [title for title, unit in units.items() if unit not in UNITS and not unit.startswith("suffix:")]


def panels_lie_in_24_columns_without_overlap(dashboard: Json) -> list[str]:
    places = [(panel["title"], panel["gridPos"]) for panel in dashboard["panels"]]
    outside = [title for title, at in places if at["x"] < 0 or at["x"] + at["w"] > 24 or at["w"] < 1 or at["h"] < 1]
    return outside + [
        f"{one} over {other}"
        for (one, a), (other, b) in combinations(places, 2)
        if a["x"] < b["x"] + b["w"]
        and b["x"] < a["x"] + a["w"]
        and a["y"] < b["y"] + b["h"]
        and b["y"] < a["y"] + a["h"]
    ]


def ids_and_titles_are_unique(dashboard: Json) -> list[str]:
    ids = [panel["id"] for panel in dashboard["panels"]]
    titles = [panel["title"] for panel in dashboard["panels"]]
    return [str(each) for each in {*ids, *titles} if (ids + titles).count(each) > 1]


def no_counter_is_shown_raw(dashboard: Json) -> list[str]:
    """A counter, or a part of a histogram, stands right inside rate or increase."""
    counting = COUNTERS | OTHERS_COUNTERS | HISTOGRAMS | OTHERS_HISTOGRAMS
    left = [
        (title, re.sub(r"\b(?:rate|increase)\(\w+(?:\{[^}]*\})?\[", "(", text))
        for title, text in expressions(dashboard)
    ]
    return [f"{title}: {name}" for title, text in left for name in metrics(text) if name in counting]


def windows_follow_the_view(dashboard: Json) -> list[str]:
    """A rate over what is drawn, an increase over the chosen time; the second is asked once, not at every point."""
    faults = []
    for title, target in all_targets(dashboard):
        windows = set(re.findall(r"(\w+)\(\w+(?:\{[^}]*\})?\[([^\]]+)\]", target["expr"]))
        faults += [f"{title}: {each}" for each in windows - {("rate", "$__rate_interval"), ("increase", "$__range")}]
        if ("increase", "$__range") in windows and not target["instant"]:
            faults.append(f"{title}: a total at every point")
        if ("rate", "$__rate_interval") in windows and target["instant"]:
            faults.append(f"{title}: a rate at one point")
    return faults


def quantiles_are_of_sums_of_rates_by_le(dashboard: Json) -> list[str]:
    wanted = re.compile(r"histogram_quantile\([\d.]+, sum by \((?:\w+, )*le\) \(rate\(\w+_bucket\{")
    return [
        title
        for title, expression in expressions(dashboard)
        if "_bucket" in expression and len(wanted.findall(expression)) != expression.count("_bucket")
    ]


def nothing_is_divided_by_zero(dashboard: Json) -> list[str]:
    """What is divided by is a bracket that ends in `> 0`, so that there is no sample where there is nothing."""
    return [
        title
        for title, expression in expressions(dashboard)
        for divisor in re.sub(r'"[^"]*"', '""', expression).split("/")[1:]
        if not re.match(r"\s*\(", divisor) or not bracket(divisor.strip()).endswith("> 0)")
    ]


def bracket(text: str) -> str:
    """The text up to the end of the bracket that it begins with."""
    depth = 0
    for at, character in enumerate(text, start=1):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return text[:at]
    return text


def what_all_workers_serve_is_a_maximum(dashboard: Json) -> list[str]:
    faults = []
    for title, expression in expressions(dashboard):
        inside = re.findall(r"\bmax(?: by \([\w, ]+\))? ?\((\w+)\{", expression)
        named = [name for name in re.findall(r"(\w+)\{", expression) if name in SHARED]
        faults += [f"{title}: {name}" for name in set(named) if named.count(name) != inside.count(name)]
    return faults


def every_series_is_of_the_chosen_job(dashboard: Json) -> list[str]:
    return [
        title
        for title, expression in expressions(dashboard)
        if expression.count('{job=~"$job"') != len(re.findall(r"\w\{", expression)) or "{" not in expression
    ]


def legends_tell_the_series_apart(dashboard: Json) -> list[str]:
    faults = []
    for panel in all_panels(dashboard):
        for target in panel["targets"]:
            grouped = re.match(r"^(?:time\(\) - )?(?:\w+\([\d.]+, )?\w+ by \(([\w, ]+)\)", target["expr"])
            labels = set(grouped[1].split(", ")) - {"le"} if grouped else set()
            said = target.get("legendFormat") or "__auto"
            if said == "__auto" or not labels <= set(re.findall(r"\{\{(\w+)\}\}", said)):
                faults.append(panel["title"])
        if panel["type"] == "timeseries" and not panel["options"]["legend"]["showLegend"]:
            faults.append(panel["title"])
    return faults


def single_figures_have_thresholds(dashboard: Json) -> list[str]:
    faults = []
    for panel in all_panels(dashboard):
        if panel["type"] in ("stat", "gauge", "bargauge", "state-timeline"):
            steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
            bounds = [step["value"] for step in steps[1:]]
            if not steps or steps[0]["value"] is not None or bounds != sorted(bounds):
                faults.append(panel["title"])
    return faults


def descriptions_say_how_to_read_the_panel(dashboard: Json) -> list[str]:
    texts = {panel["title"]: panel.get("description", "") for panel in all_panels(dashboard)}
    return [title for title, text in texts.items() if len(text) < 30 or not text.endswith((".", "?"))]


def rows_come_first(dashboard: Json) -> list[str]:
    kinds = [panel["type"] for panel in dashboard["panels"]]
    return [] if kinds[0] == "row" and kinds.count("row") >= 5 else ["no rows"]


def the_planned_panels_are_there(dashboard: Json) -> list[str]:
    return sorted(PLANNED - {panel["title"] for panel in dashboard["panels"]})


def every_metric_is_known(dashboard: Json) -> list[str]:
    return [name for _, expression in expressions(dashboard) for name in metrics(expression) if name not in KNOWN]


def every_metric_of_ours_is_shown(dashboard: Json) -> list[str]:
    return sorted(OURS - {name for _, expression in expressions(dashboard) for name in metrics(expression)})


def panel_of(dashboard: Json, title: str) -> Json:
    return next(panel for panel in dashboard["panels"] if panel["title"] == title)


def put(title: str, path: str, value: Any) -> Callable[[Json], None]:
    """A change of one field of one panel; the path's steps are keys and places in lists."""

    def change(dashboard: Json) -> None:
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        node: Any = panel_of(dashboard, title)
        for step in way:
            node = node[step]
        node[last] = value

    return change


def swap(title: str, old: str, new: str) -> Callable[[Json], None]:
    """A change of the text of a panel's first query."""

    def change(dashboard: Json) -> None:
        target = panel_of(dashboard, title)["targets"][0]
        assert old in target["expr"]
        target["expr"] = target["expr"].replace(old, new)

    return change


RATE = "[$__rate_interval]"
BREAKS: list[tuple[Rule, Callable[[Json], None]]] = [
    (the_datasource_is_the_variable_everywhere, put("Memory", "datasource.uid", "PBFA97CFB590B2093")),
    (the_datasource_is_the_variable_everywhere, put("Memory", "targets.0.datasource", None)),
    (the_datasource_is_the_variable_everywhere, lambda it: it["templating"]["list"].pop(0)),
    (the_datasource_is_the_variable_everywhere, lambda it: it["annotations"]["list"][1].update(datasource="prom")),
    (every_panel_has_a_unit, put("Memory", "fieldConfig.defaults.unit", "")),
    (panels_lie_in_24_columns_without_overlap, put("Memory", "gridPos.w", 9)),
    (panels_lie_in_24_columns_without_overlap, put("Running since", "gridPos.x", 17)),
    (ids_and_titles_are_unique, put("Memory", "id", 1)),
    (ids_and_titles_are_unique, put("Memory", "title", "CPU")),
    (no_counter_is_shown_raw, put("Cost", "targets.0.expr", 'ktrdr_agent_cost_usd_total{job=~"$job"}')),
    (no_counter_is_shown_raw, put("Cost", "targets.0.expr", 'sum(ktrdr_agent_cost_usd_total{job=~"$job"})')),
    (no_counter_is_shown_raw, put("Cycle duration", "targets.0.expr", "ktrdr_agent_cycle_duration_seconds_bucket{}")),
    (windows_follow_the_view, swap("Cost", RATE, "[5m]")),
    (windows_follow_the_view, swap("Cycles ended", "[$__range]", "[1d]")),
    (windows_follow_the_view, put("Cycles ended", "targets.0.instant", False)),
    (windows_follow_the_view, put("Cost", "targets.0.instant", True)),
    (quantiles_are_of_sums_of_rates_by_le, swap("Cycle duration", "sum by (le) ", "")),
    (nothing_is_divided_by_zero, swap("Gate Pass Rates", " > 0", "")),
    (what_all_workers_serve_is_a_maximum, swap("Limit", "max(", "sum(")),
    (every_series_is_of_the_chosen_job, swap("Memory", '{job=~"$job"}', "")),
    (every_series_is_of_the_chosen_job, swap("Memory", '{job=~"$job"}', '{instance="a"}')),
    (legends_tell_the_series_apart, put("Cost", "targets.0.legendFormat", "dollars")),
    (legends_tell_the_series_apart, put("Cost", "targets.0.legendFormat", "")),
    (legends_tell_the_series_apart, put("Cost", "options.legend.showLegend", False)),
    (single_figures_have_thresholds, put("Charged", "fieldConfig.defaults.thresholds", {})),
    (single_figures_have_thresholds, put("Charged", "fieldConfig.defaults.thresholds.steps.0.value", 3)),
    (descriptions_say_how_to_read_the_panel, put("Memory", "description", "")),
    (rows_come_first, lambda it: it["panels"].pop(0)),
    (the_planned_panels_are_there, put("Token Usage", "title", "Tokens")),
    (every_metric_is_known, swap("Cost", "_usd_total", "_usd")),
    (every_metric_of_ours_is_shown, put("Paused", "targets.0.expr", "vector(0)")),
]
RULES = list(dict.fromkeys(rule for rule, _ in BREAKS))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_dashboard_keeps(rule: Rule) -> None:
    assert rule(DASHBOARD) == []


@pytest.mark.parametrize(("rule", "change"), BREAKS, ids=[f"{rule.__name__}-{n}" for n, (rule, _) in enumerate(BREAKS)])
def test_a_broken_copy_is_found(rule: Rule, change: Callable[[Json], None]) -> None:
    broken = copy.deepcopy(DASHBOARD)
    change(broken)
    assert rule(broken) != []


def test_the_rules_of_prometheus_name_only_metrics_that_there_are() -> None:
    files = sorted((PROJECT / "temporal-dev" / "rules").glob("*.yml"))
    rules = [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    named = {name for rule in rules for name in metrics(re.sub(r"#.*", "", rule["expr"]))}
    assert named <= KNOWN | recorded
    assert recorded <= named


def test_grafana_finds_the_dashboard_where_compose_puts_it_and_a_prometheus_by_default() -> None:
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "research.yml").read_text())["providers"][0]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    given = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert [each["type"] for each in given if each.get("isDefault")] == ["prometheus"]


@pytest.mark.skipif(
    shutil.which("promtool") is None and "CI" not in os.environ,
    reason="promtool, which comes with Prometheus, is not on PATH",
)
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    asked = [text.replace("$__rate_interval", "5m").replace("$__range", "1h") for _, text in expressions(DASHBOARD)]
    rules = [{"record": f"query:{number}", "expr": text} for number, text in enumerate(asked)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", tmp_path / "queries.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(asked)} rules found" in done.stdout
