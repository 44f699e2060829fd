"""A real Prometheus scrapes a real worker that has run cycles of every kind of end: each query of the dashboard and of
the alerts finds something, and what it finds is what the store and the ledger have.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
import yaml
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from domain.cycle import CycleStatus, Outcome
from domain.gates import GateThresholds
from domain.ledger import BudgetInput, BudgetStatus, Limits, LimitsChange, budget_workflow_id
from observability import exposition
from observability.metrics import PHASES, Metrics
from observability.readings import Readings
from observability.watching import Observer
from tests.claude.fake_api import Asked, Bill, Refuses, Says
from tests.claude.house import ClaudeHouse, claude_house, usual
from tests.claude.test_at_once import number_of, of_its_own
from tests.metered.house import OPEN_GATES
from workflows.budget import BudgetWorkflow

from .prometheus_process import RULES, TEMPORAL_DEV, Prometheus, needed, prometheus
from .test_dashboard import HISTOGRAMS, OURS

DASHBOARD = json.loads((TEMPORAL_DEV / "grafana" / "dashboards" / "research.json").read_text())
RANGE, RATE = "30m", "5m"
NO_MONEY, HANGS = 6, 7
"""Numbers of cycles: one whose account has no money, and one whose first answer doesn't come before it is cancelled."""


@dataclass(frozen=True)
class Seen:
    """What ran, and the Prometheus that has scraped it to the end. at: the moment of the last sample."""

    prometheus: Prometheus
    at: float
    cycles: list[CycleStatus]
    bills: list[Bill]
    balance: BudgetStatus


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def seen(temporal_env: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Seen]:
    needed("prometheus")
    root = tmp_path_factory.mktemp("seen")
    observer = Observer(Metrics())
    runtime, at = exposition.runtime_with_metrics()
    client = await Client.connect(
        temporal_env.client.service_client.config.target_host,
        namespace=temporal_env.client.namespace,
        data_converter=pydantic_data_converter,
        runtime=runtime,
    )
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(claude_house(client, root, staffed=False))
        await open_ledger(house)
        await stack.enter_async_context(house.working(observer=observer))
        registry = observer.metrics.registry
        registry.register(exposition.SdkMetrics(at))
        registry.register(Readings(client, asyncio.get_running_loop(), house.scope))
        page = stack.enter_context(exposition.served(registry, "127.0.0.1:0"))
        server = await stack.enter_async_context(prometheus(page, root / "prometheus"))
        await server.until("sum(ktrdr_agent_cycles_total)", 0)
        cycles = await run_all(house)
        await server.until("sum(ktrdr_agent_cycles_total)", len(cycles))
        await server.until('ktrdr_agent_budget_tokens{state="held"}', 0)
        last = await server.one('timestamp(up{job="research-worker"})')
        assert last
        yield Seen(server, last, cycles, house.api.bills, await house.balance())


async def open_ledger(house: ClaudeHouse) -> None:
    await house.client.start_workflow(
        BudgetWorkflow.run,
        BudgetInput(limits=Limits(tokens_per_day=5_000_000, usd_per_day=Decimal(100), max_active_cycles=3)),
        id=budget_workflow_id(house.scope),
        task_queue=house.scope,
    )


async def run_all(house: ClaudeHouse) -> list[CycleStatus]:
    """Three completed cycles, one rejected by each gate, a failed one, a cancelled one, and one that is refused."""
    hanging = asyncio.Event()

    async def script(asked: Asked) -> Says | Refuses:
        number = number_of(asked)
        if number == NO_MONEY:
            return Refuses(402, "billing_error", "the account has no money")
        if number == HANGS:
            hanging.set()
            await asyncio.Event().wait()
        return of_its_own(asked, usual(asked))

    house.api.script = script
    never = [{"training_min_skill": 1.0}, {"backtest_min_sharpe": 1000.0}]
    gates = [GateThresholds.model_validate({**OPEN_GATES.model_dump(), **bounds}) for bounds in never]
    asked: list[dict[str, Any]] = [*({} for _ in range(3)), *({"thresholds": gate} for gate in gates), {}]
    handles = []
    for number, changes in enumerate(asked, start=1):
        handle = await house.start(brief=f"research number {number}", **changes)
        with suppress(WorkflowFailureError):
            await asyncio.wait_for(handle.result(), 60)
        handles.append(handle)
    cancelled = await house.start(brief=f"research number {HANGS}")
    await asyncio.wait_for(hanging.wait(), 60)
    await cancelled.cancel()
    with suppress(WorkflowFailureError):
        await cancelled.result()
    ledger: WorkflowHandle[BudgetWorkflow, None] = house.client.get_workflow_handle_for(
        BudgetWorkflow.run, budget_workflow_id(house.scope)
    )
    await ledger.execute_update(BudgetWorkflow.set_limits, LimitsChange(tokens_per_day=100_000))
    refused = await house.start(brief="research number 8")
    await refused.result()
    await ledger.execute_update(BudgetWorkflow.set_limits, LimitsChange(tokens_per_day=5_000_000))
    return [await house.status(handle) for handle in (*handles, cancelled, refused)]


def filled(expression: str) -> str:
    """A panel's expression with Grafana's variables put in."""
    for variable, value in {"$__range": RANGE, "$__rate_interval": RATE, "$job": ".+", "$model": ".+"}.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


PANELS = [
    pytest.param(target["expr"], id=f"{panel['title']}-{target.get('refId')}")
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
]


async def test_the_cycles_ended_in_every_way(seen: Seen) -> None:
    assert Counter(cycle.outcome for cycle in seen.cycles) == {
        Outcome.COMPLETED: 3,
        Outcome.REJECTED: 2,
        Outcome.FAILED: 1,
        Outcome.CANCELLED: 1,
        Outcome.REFUSED: 1,
    }


@pytest.mark.parametrize("expression", PANELS)
async def test_every_query_of_every_panel_finds_something(seen: Seen, expression: str) -> None:
    found = await seen.prometheus.query(filled(expression), seen.at)
    assert found, f"no data: {filled(expression)}"


@pytest.mark.parametrize("expression", [each for each in PANELS if "increase(" in str(each.values[0])])
async def test_what_a_panel_says_of_the_whole_range_is_what_the_counters_say(seen: Seen, expression: str) -> None:
    panel = filled(expression)
    counters = re.sub(r"increase\(([^()]*)\[\w+\]\)", r"\1", panel)
    assert counters != panel
    shown = await seen.prometheus.query(panel, seen.at)
    assert shown == pytest.approx(await seen.prometheus.query(counters, seen.at), rel=1e-6)


def selectors() -> list[str]:
    """Every vector that an alert or a recording rule looks at."""
    found = set()
    for file in RULES.glob("*.yml"):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                found |= set(re.findall(r"\b(?:ktrdr_agent|temporal|job|job_\w+|up)[\w:]*(?:\{[^}]*\})?", rule["expr"]))
    return sorted(each for each in found if ":" in each or "_" in each or each.startswith("up"))


async def test_everything_that_an_alert_looks_at_is_there_and_every_rule_is_evaluated(seen: Seen) -> None:
    # What a rule has recorded comes a second after the last sample.
    names = [each for each in selectors() if each not in ("job", "job_queue")]
    assert len(names) > 15
    missing = [name for name in names if not await seen.prometheus.query(f"last_over_time({name}[2m])")]
    assert missing == []
    groups = (await seen.prometheus.get("rules"))["groups"]
    assert [
        (rule["name"], rule.get("lastError")) for group in groups for rule in group["rules"] if rule["health"] != "ok"
    ] == []


async def test_the_alerts_that_have_to_fire_do_and_no_others(seen: Seen) -> None:
    firing = {labels["alertname"] for labels in map(dict, await seen.prometheus.query('ALERTS{alertstate="firing"}'))}
    # The cancelled cycle's first answer was under way, so its ceiling stays charged.
    assert firing == {"ResearchCyclesFail", "ResearchProviderSpendLimit", "ResearchAnswersLost"}


async def test_the_cycles_figures_are_the_records(seen: Seen) -> None:
    async def by(label: str, metric: str) -> dict[str, float]:
        found = await seen.prometheus.query(f"sum by ({label}) ({metric})", seen.at)
        return {dict(labels)[label]: value for labels, value in found.items()}

    outcomes = Counter(str(cycle.outcome.value) for cycle in seen.cycles if cycle.outcome)
    assert await by("outcome", "ktrdr_agent_cycles_total") == outcomes
    assert await by("outcome", "ktrdr_agent_cycle_duration_seconds_count") == outcomes
    for phase in PHASES:
        times = [t for cycle in seen.cycles for t in cycle.timings if t.phase is phase and t.ended_at]
        seconds = sum((t.ended_at - t.started_at).total_seconds() for t in times if t.ended_at)
        selector = f'{{phase="{phase.value}"}}'
        assert await seen.prometheus.one(f"ktrdr_agent_phase_duration_seconds_count{selector}") == len(times)
        assert await seen.prometheus.one(f"ktrdr_agent_phase_duration_seconds_sum{selector}") == pytest.approx(seconds)
    gates = Counter((gate.gate.value, "passed" if gate.passed else "failed") for c in seen.cycles for gate in c.gates)
    for (gate, result), count in gates.items():
        selector = f'{{gate="{gate}", result="{result}"}}'
        assert await seen.prometheus.one(f"ktrdr_agent_gate_results_total{selector}") == count


async def test_tokens_and_dollars_are_the_records_and_the_bills(seen: Seen) -> None:
    usages = [usage for cycle in seen.cycles for usage in cycle.usage.values()]
    for token_type in ("input", "output", "cache_write", "cache_read"):
        counted = await seen.prometheus.one(f'sum(ktrdr_agent_tokens_total{{token_type="{token_type}"}})')
        assert counted == sum(getattr(usage, token_type) for usage in usages)
        assert counted == sum(getattr(bill.usage, token_type) for bill in seen.bills if not bill.lost) > 0
    settled = float(seen.balance.usd_settled)
    assert await seen.prometheus.one("sum(ktrdr_agent_cost_usd_total)") == pytest.approx(settled)
    calls = await seen.prometheus.one('sum(ktrdr_agent_claude_requests_total{code="ok"})')
    assert calls == sum(usage.calls for usage in usages)
    refused = 'ktrdr_agent_claude_requests_total{code="anthropic_spend_limit"} > 0'
    assert list((await seen.prometheus.query(refused)).values()) == [1]
    failed = 'sum(ktrdr_agent_errors_total{phase="designing", code="anthropic_spend_limit"})'
    assert await seen.prometheus.one(failed) == 1


async def test_the_budgets_figures_are_the_ledgers(seen: Seen) -> None:
    balance = seen.balance
    tokens = {
        "limit": balance.daily_budget,
        "settled": balance.tokens_settled,
        "charged": balance.tokens_charged,
        "held": balance.tokens_held,
        "free": balance.tokens_remaining,
    }
    for state, value in tokens.items():
        assert await seen.prometheus.one(f'ktrdr_agent_budget_tokens{{state="{state}"}}') == value
    for state, usd in {"limit": balance.daily_usd_budget, "settled": balance.usd_settled}.items():
        assert usd is not None
        assert await seen.prometheus.one(f'ktrdr_agent_budget_usd{{state="{state}"}}') == pytest.approx(float(usd))
    reset = await seen.prometheus.one("ktrdr_agent_budget_reset_timestamp_seconds")
    assert reset == balance.next_reset.timestamp()


async def test_metrics_of_the_sdk_and_of_the_process_stand_on_the_same_page(seen: Seen) -> None:
    assert await seen.prometheus.one("sum(temporal_workflow_completed_total)")
    assert await seen.prometheus.one("process_resident_memory_bytes")
    seconds = await seen.prometheus.one("sum(temporal_workflow_endtoend_latency_seconds_sum)")
    assert seconds is not None
    assert 0 < seconds < 3600


async def test_the_dashboards_rules_know_every_metric_of_ours(seen: Seen) -> None:
    served = await seen.prometheus.get("label/__name__/values")
    parts = {f"{name}{part}" for name in HISTOGRAMS for part in ("_bucket", "_sum", "_count", "_created")}
    ours = {name for name in served if name.startswith("ktrdr_agent_") and not name.endswith("_created")}
    assert ours - parts == OURS - HISTOGRAMS
    assert ours & parts == {name for name in parts if not name.endswith("_created")}
