"""What a worker counts: each cycle once, calls of Claude as they were billed, and what failed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from activities.record import RecordActivities
from domain.cycle import (
    CallUsage,
    CycleRequest,
    CycleStatus,
    DesignerKind,
    Failure,
    Outcome,
    Phase,
    PhaseTiming,
)
from domain.errors import ErrorCode
from observability.metrics import OTHER_MODEL, Metrics
from observability.watching import Observer
from store.cycles import Store
from store.strategies import StrategyFiles

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SONNET = "claude-sonnet-5-5"


def ended(outcome: Outcome, **changes: object) -> CycleStatus:
    """A cycle of two minutes, 50 seconds of them in training."""
    training = PhaseTiming(phase=Phase.TRAINING, started_at=NOON, ended_at=NOON + timedelta(seconds=50))
    request = CycleRequest(symbol="EURUSD", timeframe="1h", designer=DesignerKind.OFFLINE)
    fields = {"timings": (training,), "started_at": NOON, "ended_at": NOON + timedelta(minutes=2), **changes}
    return CycleStatus.model_validate(
        {"cycle_id": "c", "run_id": "r", "request": request, "phase": Phase.DONE, "outcome": outcome, **fields}
    )


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(f"ktrdr_agent_{name}", labels)
    assert found is not None, f"{name} {labels} is not there"
    return found


def test_a_recorded_cycle_counts_by_outcome_duration_and_phase() -> None:
    metrics = Metrics()
    metrics.cycle_recorded(ended(Outcome.REJECTED))
    assert value(metrics, "cycles_total", outcome="rejected") == 1
    assert value(metrics, "cycles_total", outcome="completed") == 0
    assert value(metrics, "cycle_duration_seconds_sum", outcome="rejected") == 120
    assert value(metrics, "phase_duration_seconds_sum", phase="training") == 50
    assert value(metrics, "phase_duration_seconds_count", phase="backtesting") == 0


def test_a_code_by_which_only_a_cycle_fails_counts_when_it_is_recorded() -> None:
    metrics = Metrics()
    for code in (ErrorCode.DESIGN_INVALID, ErrorCode.ANTHROPIC_ERROR):
        failure = Failure(phase=Phase.DESIGNING, code=code, message="why")
        metrics.cycle_recorded(ended(Outcome.FAILED, failure=failure))
    assert value(metrics, "errors_total", phase="designing", code="design_invalid") == 1
    assert value(metrics, "errors_total", phase="designing", code="anthropic_error") == 0  # its attempts have


def test_an_answer_counts_its_tokens_by_class_and_its_price() -> None:
    metrics = Metrics()
    usage = CallUsage(model=SONNET, input=100, cache_write=20, cache_write_1h=5, cache_read=50, output=10)
    metrics.answered(Phase.DESIGNING, SONNET, usage)
    for token_type, tokens in {"input": 100, "cache_write": 20, "cache_read": 50, "output": 10}.items():
        assert value(metrics, "tokens_total", token_type=token_type, model=SONNET) == tokens
    cost = Decimal("100") * 2 + 15 * Decimal("2.5") + 5 * 4 + 50 * Decimal("0.1") + 10 * 10
    assert value(metrics, "cost_usd_total", model=SONNET, phase="designing") == pytest.approx(float(cost / 1_000_000))
    assert value(metrics, "claude_requests_total", phase="designing", model=SONNET, code="ok") == 1


def test_names_of_unknown_models_make_no_labels() -> None:
    metrics = Metrics()
    before = {sample.labels.get("model") for family in metrics.registry.collect() for sample in family.samples}
    for number in range(50):
        metrics.answered(Phase.ASSESSING, f"somebody's {number}", CallUsage(model=f"other's {number}", input=1))
    after = {sample.labels.get("model") for family in metrics.registry.collect() for sample in family.samples}
    assert after == before
    assert value(metrics, "tokens_total", token_type="input", model=OTHER_MODEL) == 50


def test_every_foreseen_series_is_there_from_the_start_so_that_its_first_rise_is_seen() -> None:
    metrics = Metrics()
    for outcome in Outcome:
        assert value(metrics, "cycles_total", outcome=outcome.value) == 0
    for code in ("anthropic_spend_limit", "answer_lost", "design_invalid"):
        assert value(metrics, "errors_total", phase="designing", code=code) == 0
    assert value(metrics, "errors_total", phase="training", code="training_service_unavailable") == 0
    assert value(metrics, "gate_results_total", gate="backtest", result="failed") == 0


async def test_a_cycle_counts_once_on_all_workers_together_however_often_it_is_recorded(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}", migrate=True)
    workers = [Observer(Metrics()) for _ in range(3)]
    for observer in (*workers, workers[0]):  # one died before it could tell that it had recorded it
        await RecordActivities(store, StrategyFiles(tmp_path), observer).record(ended(Outcome.CANCELLED))
    store.close()
    counted = [value(observer.metrics, "cycles_total", outcome="cancelled") for observer in workers]
    assert counted == [1, 0, 0]
    assert [value(each.metrics, "phase_duration_seconds_count", phase="training") for each in workers] == counted
