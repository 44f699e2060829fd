"""Every path of a cycle on a real server, with the real engine, designer, store and ledger."""

import asyncio
from pathlib import Path

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.budget import restart_budget
from domain.cycle import AdmissionState, CycleResult, CycleStatus, Outcome, Phase
from domain.ledger import BudgetStatus, Limits, budget_workflow_id
from engine.embedded import EmbeddedEngine
from engine.pool import JobPool
from workflows import search_attributes
from workflows.research_cycle import ResearchCycleWorkflow

from .conftest import OPEN_GATES, SMALL, House, open_house
from .scenarios import SCENARIOS, Scenario

Cycle = WorkflowHandle[ResearchCycleWorkflow, CycleResult]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_cycle_ends_as_its_story_says(
    scenario: Scenario, temporal_env: WorkflowEnvironment, tmp_path: Path, pool: JobPool, keep_history
) -> None:
    engine = EmbeddedEngine if scenario.outcome is Outcome.COMPLETED else SMALL
    async with open_house(temporal_env.client, tmp_path, pool, engine=engine) as house:
        bounds = OPEN_GATES.model_copy(update=dict(scenario.bounds))
        handle, admission = await house.start(house.request(thresholds=bounds, **dict(scenario.changes)))
        assert admission.state is AdmissionState.GRANTED
        await _end(handle)
        await keep_history(scenario.name, handle)

        assert (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED
        status = await handle.query(ResearchCycleWorkflow.status)
        assert (status.outcome, status.stopped_in) == (scenario.outcome, scenario.stopped_in)
        if scenario.reason:
            assert scenario.reason in (status.reason or "")
        assert house.store.get(handle.id) == status
        await _nothing_is_held(house)
        if scenario.name == "completed":
            await _tells_every_figure_once(house, handle, status)


async def _tells_every_figure_once(house: House, handle: Cycle, status: CycleStatus) -> None:
    result = await handle.result()
    description = await handle.describe()
    ours = {key.name for key in search_attributes.ALL}
    attributes = {pair.key.name: pair.value for pair in description.typed_search_attributes if pair.key.name in ours}
    assert status.backtest is not None
    assert status.assessment is not None
    assert status.strategy is not None
    assert attributes == {
        "Phase": "done",
        "Outcome": "completed",
        "Verdict": status.assessment.verdict.value,
        "StrategyName": "small",
        "Symbol": "EURUSD",
        "Timeframe": "1h",
        "Sharpe": round(status.backtest.sharpe_ratio or 0.0, 4),
        "TokensUsed": 0,
    }
    assert (result.sharpe_ratio, result.verdict) == (status.backtest.sharpe_ratio, status.assessment.verdict)
    assert [timing.phase for timing in status.timings] == [
        Phase.QUEUED,
        Phase.DESIGNING,
        Phase.TRAINING,
        Phase.BACKTESTING,
        Phase.ASSESSING,
    ]
    assert [gate.gate.value for gate in status.gates] == ["training", "backtest"]
    assert all((house.places.artifacts / str(path)).is_file() for path in _files(status))


async def test_a_second_cycle_is_refused_with_the_active_id(small_house: House) -> None:
    house = small_house
    house.faults.hold = Phase.TRAINING
    first, _ = await house.start(house.request())
    await house.faults.held.wait()
    second, admission = await house.start(house.request())
    assert (admission.state, admission.reason) == (AdmissionState.REFUSED, "active_operation_exists")
    assert admission.active_ids == (first.id,)
    result = await second.result()
    assert result.outcome is Outcome.REFUSED
    recorded = house.store.get(second.id)
    assert recorded is not None
    assert recorded.outcome is Outcome.REFUSED
    await first.signal(ResearchCycleWorkflow.cancel, "")
    await _end(first)


async def test_a_ledger_that_was_ended_holds_cycles_back_until_a_person_restarts_it(small_house: House) -> None:
    house = small_house
    first, _ = await house.start(house.request(thresholds=OPEN_GATES.model_copy(update={"training_min_skill": 1.0})))
    await first.result()
    await house.client.get_workflow_handle(budget_workflow_id(house.scope)).terminate()
    second, admission = await house.start(house.request())
    assert admission.state is AdmissionState.PENDING
    assert "research budget restart" in admission.message
    await restart_budget(house.client, house.queue, Limits(), house.scope)
    assert (await second.result()).outcome is Outcome.COMPLETED


async def test_the_same_seed_and_snapshot_give_the_same_strategy_model_and_trades(house: House) -> None:
    first = await _designed(house, seed=5)
    again = await _designed(house, seed=5, memory_snapshot=first.memory_snapshot)
    assert first.strategy == again.strategy
    assert first.training is not None
    assert again.training is not None
    assert first.training.model_id == again.training.model_id
    assert first.backtest is not None
    assert again.backtest is not None
    assert _content(house, first.backtest.trades_path) == _content(house, again.backtest.trades_path)


async def _designed(house: House, **changes: object) -> CycleStatus:
    handle, _ = await house.start(house.request(strategy=None, **changes))
    await handle.result()
    return await handle.query(ResearchCycleWorkflow.status)


async def _end(handle) -> BaseException | None:
    try:
        await asyncio.wait_for(handle.result(), 90)
    except WorkflowFailureError as error:
        return error.cause
    return None


async def _nothing_is_held(house: House) -> None:
    ledger = house.client.get_workflow_handle(budget_workflow_id(house.scope))
    status = await ledger.query("status", result_type=BudgetStatus)
    assert (status.active, status.waiting, status.tokens_held) == ((), (), 0)


def _files(status: CycleStatus) -> list[str | None]:
    assert status.training is not None
    assert status.backtest is not None
    return [
        status.training.model_path,
        status.training.history_path,
        status.backtest.equity_path,
        status.backtest.trades_path,
    ]


def _content(house: House, path: str | None) -> bytes:
    return (house.places.artifacts / str(path)).read_bytes()
