"""A cycle that takes over what an earlier one has finished: nothing of that is done again, counted again, or claimed
beyond what is known by now.
"""

import json
from collections import Counter
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError

from domain.cycle import CycleStatus, Fork, Outcome, Phase
from workflows.research_cycle import ResearchCycleWorkflow

from .conftest import OPEN_GATES, House


async def ended(house: House, **changes: object) -> tuple[CycleStatus, WorkflowHandle]:
    """A cycle that has ended, by its own word."""
    handle, _ = await house.start(house.request(**changes))
    await handle.result()
    return await handle.query(ResearchCycleWorkflow.status), handle


def fork_of(source: CycleStatus, phase: Phase) -> dict[str, object]:
    return {
        "fork": Fork.model_validate({"cycle_id": source.cycle_id, "run_id": source.run_id, "phase": phase}),
        "strategy": source.strategy,
        "seed": source.request.seed,
    }


async def done(handle: WorkflowHandle) -> Counter[str]:
    """The activities that were asked for, how often; also those that the workflow's own worker did within its task."""
    return Counter([name async for event in handle.fetch_history_events() if (name := activity_of(event))])


def activity_of(event: HistoryEvent) -> str | None:
    """Whose beginning, or for a local one whose end, the event is."""
    if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        return event.activity_task_scheduled_event_attributes.activity_type.name
    if event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED:
        (told,) = event.marker_recorded_event_attributes.details["data"].payloads
        return json.loads(told.data)["activity_type"]
    return None


@pytest.mark.parametrize(
    ("phase", "works"),
    [
        (Phase.TRAINING, {"train", "count_trials", "backtest", "assess"}),
        (Phase.BACKTESTING, {"count_trials", "backtest", "assess"}),
        (Phase.ASSESSING, {"assess"}),
    ],
)
async def test_a_fork_does_only_what_comes_after(
    small_house: House, phase: Phase, works: set[str], keep_history: Any
) -> None:
    house = small_house
    source, _ = await ended(house, seed=11)
    trials = house.store.trials("EURUSD", "1h")
    forked, handle = await ended(house, **fork_of(source, phase))
    await keep_history(f"forked_from_{phase.value}", handle)

    assert forked.outcome is Outcome.COMPLETED
    assert set(await done(handle)) == {"inherit", "record", "deliver_close", *works}
    assert forked.strategy == source.strategy
    if phase is not Phase.TRAINING:
        assert forked.training == source.training
    assert forked.backtest
    assert source.backtest
    assert forked.backtest.sharpe_ratio == source.backtest.sharpe_ratio
    assert [timing.phase for timing in forked.timings] == [timing.phase for timing in source.timings]
    assert house.store.get(forked.cycle_id) == forked
    # A backtest that is taken over counts where it was made.
    assert house.store.trials("EURUSD", "1h") == trials + (phase is not Phase.ASSESSING)


async def test_what_is_only_assessed_again_is_held_against_the_trials_known_by_now(small_house: House) -> None:
    house = small_house
    source, _ = await ended(house, seed=11)
    for seed in (12, 13):
        await ended(house, seed=seed)
    forked, _ = await ended(house, **fork_of(source, Phase.ASSESSING))

    assert source.backtest
    assert forked.backtest
    assert (source.backtest.trials, forked.backtest.trials) == (1, 3)
    assert forked.backtest.expected_max_sharpe > source.backtest.expected_max_sharpe == 0
    changed = {"trials", "expected_max_sharpe", "deflated_low"}
    assert forked.backtest.model_dump(exclude=changed) == source.backtest.model_dump(exclude=changed)
    again, _ = await ended(house, seed=11)
    assert again.backtest
    assert again.backtest.trials == 4


async def test_a_gate_that_said_no_is_asked_again_with_the_forks_bounds(small_house: House) -> None:
    house = small_house
    strict = OPEN_GATES.model_copy(update={"training_min_skill": 1.0})
    source, _ = await ended(house, thresholds=strict)
    assert (source.outcome, source.stopped_in) == (Outcome.REJECTED, Phase.TRAINING)

    again, _ = await ended(house, thresholds=strict, **fork_of(source, Phase.BACKTESTING))
    assert (again.outcome, again.stopped_in, again.backtest) == (Outcome.REJECTED, Phase.TRAINING, None)
    passed, _ = await ended(house, **fork_of(source, Phase.BACKTESTING))
    assert passed.outcome is Outcome.COMPLETED


async def test_a_fork_of_what_is_not_there_fails_and_says_what_to_do(small_house: House) -> None:
    house = small_house
    strict = OPEN_GATES.model_copy(update={"training_min_skill": 1.0})
    source, _ = await ended(house, thresholds=strict)
    assert source.training
    assert source.training.model_path
    (house.places.artifacts / source.training.model_path).unlink()
    unknown = source.model_copy(update={"run_id": "11111111-2222-3333-4444-555555555555"})
    for of, phase, words in (
        (source, Phase.ASSESSING, "was not backtested; fork it from backtest"),
        (source, Phase.BACKTESTING, "is gone: there is no file"),
        (unknown, Phase.TRAINING, "the store has no record of cycle"),
    ):
        handle, _ = await house.start(house.request(**fork_of(of, phase)))
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause, ApplicationError)
        assert failed.value.cause.type == "data_unavailable"
        assert words in failed.value.cause.message
