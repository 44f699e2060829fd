"""The table of error codes: what makes a cycle fail with each, how often it is tried, where and how the cycle ends,
what a person is told, and what is recorded and charged.
"""

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from domain.cycle import CycleStatus, Outcome, Phase
from domain.errors import ErrorCode
from engine.embedded import EmbeddedEngine
from engine.pool import JobPool
from workflows.research_cycle import ResearchCycleWorkflow

from .conftest import SMALL
from .error_rows import ASSESSING, BACKTESTING, DESIGNING, MODEL_ROWS, TRAINING, Row
from .error_stage import (
    Played,
    Stage,
    a_field_is_missing,
    artifacts_are_a_file,
    attempts_of,
    pauses_of,
    plain,
    policies,
    reset_in_its_first_turn,
    store_comes_back_too_late,
    store_goes_away_in_the_end,
    store_is_away_for_a_while,
    strategy_is_changed,
)

E = ErrorCode
INTERRUPTED = ("SIGKILL", "tried again", "give the machine more memory")
LOG = "The log of the engine's worker has the traceback"

HOUSE_ROWS = [
    Row(
        "no_such_snapshot",
        E.DATA_UNAVAILABLE,
        partial(plain, strategy=None, memory_snapshot="m999-00000000"),
        "design",
        1,
        ("memory snapshot m999-00000000", "not one of EURUSD 1h", "Take an id that `research show CYCLE` prints"),
        DESIGNING,
        history="design_failed",
    ),
    Row(
        "no_such_bars",
        E.DATA_UNAVAILABLE,
        partial(plain, engine=EmbeddedEngine, symbol="NOSUCH"),
        "train",
        1,
        ("there are no bars of 'NOSUCH' at '1h'", "There is: AAPL 1h", "`research data import FILE` brings your own"),
        TRAINING,
        history="training_failed",
    ),
    Row(
        "strategy_changed",
        E.INVALID_STRATEGY,
        partial(plain, engine=EmbeddedEngine, deeds=strategy_is_changed),
        "train",
        1,
        ("the strategy small", "has changed since the cycle began", "Put that file back, or start the cycle again"),
        TRAINING,
    ),
    Row(
        "job_broke",
        E.TRAINING_FAILED,
        partial(plain, engine=partial(SMALL, training="process_jobs:train_broken")),
        "train",
        1,
        ("The training ended with ValueError: no such shape", LOG),
        TRAINING,
    ),
    Row(
        "job_broke",
        E.BACKTEST_FAILED,
        partial(plain, engine=partial(SMALL, backtest="process_jobs:backtest_broken")),
        "backtest",
        1,
        ("The backtest ended with ValueError: no such shape", LOG),
        BACKTESTING,
        history="backtest_failed",
    ),
    Row(
        "process_killed",
        E.TRAINING_SERVICE_UNAVAILABLE,
        partial(plain, engine=partial(SMALL, training="process_jobs:train_killed")),
        "train",
        5,
        ("The training was interrupted", *INTERRUPTED),
        TRAINING,
    ),
    Row(
        "process_killed",
        E.BACKTEST_SERVICE_UNAVAILABLE,
        partial(plain, engine=partial(SMALL, backtest="process_jobs:train_killed")),
        "backtest",
        5,
        ("The backtest was interrupted", *INTERRUPTED),
        BACKTESTING,
    ),
    Row(
        "artifacts",
        E.STORE_UNAVAILABLE,
        partial(plain, deeds=artifacts_are_a_file),
        "train",
        5,
        ("The training could not use its files", "artifacts", "Check that the disk"),
        TRAINING,
    ),
    Row(
        "artifacts_healed",
        E.STORE_UNAVAILABLE,
        partial(plain, deeds=partial(artifacts_are_a_file, heals_at=3)),
        "train",
        3,
        ("The training could not use its files", "Check that the disk", "It is tried again"),
        None,
        outcome=Outcome.COMPLETED,
    ),
    Row(
        "record",
        E.STORE_UNAVAILABLE,
        partial(
            plain,
            deeds=store_goes_away_in_the_end,
            meanwhile=store_comes_back_too_late,
            given=policies(record={"attempts": 3}),
        ),
        "record",
        3,
        ("the store", "could not be written: unable to open database file", "Check the path"),
        None,
        recorded=False,
    ),
    Row(
        "record_healed",
        E.STORE_UNAVAILABLE,
        partial(
            plain,
            deeds=store_goes_away_in_the_end,
            meanwhile=store_is_away_for_a_while,
            given=policies(record={"first_retry": timedelta(seconds=2)}),
        ),
        "record",
        2,
        ("the store", "could not be written", "Check the path"),
        None,
        outcome=Outcome.COMPLETED,
        history="recorded_late",
    ),
    Row(
        "reset",
        E.ENVELOPE_STALE,
        partial(plain, hold=DESIGNING, meanwhile=reset_in_its_first_turn, strategy=None, seed=3),
        "design",
        2,
        ("the envelope was granted to run", "the cycle was reset", "has to open an envelope of its own"),
        None,
        outcome=Outcome.COMPLETED,
    ),
    Row(
        "defect",
        E.INTERNAL_ERROR,
        partial(plain, deeds=a_field_is_missing),
        "train",
        1,
        ("A defect of the program", "KeyError: 'a field that is missing'", "Report it", "worker's log"),
        TRAINING,
    ),
    Row(
        "unknown_to_the_worker",
        E.INTERNAL_ERROR,
        partial(
            plain,
            without="assess",
            given=policies(assess={"attempts": 2, "first_retry": timedelta(milliseconds=20)}),
        ),
        "assess",
        2,
        ("assess failed", "NotFoundError", "log of the worker", "start the cycle again"),
        ASSESSING,
        history="assessor_unknown",
    ),
]

ROWS = [*MODEL_ROWS, *HOUSE_ROWS]


def test_every_code_of_the_table_is_reached() -> None:
    assert {row.code for row in ROWS} == set(ErrorCode)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.code.value}-{row.name}".rstrip("-"))
async def test_a_cycle_that_meets_an_error_ends_as_the_table_says(
    row: Row, temporal_env: WorkflowEnvironment, tmp_path: Path, small_pool: JobPool, keep_history: Any
) -> None:
    async with row.play(Stage(temporal_env.client, tmp_path, small_pool)) as played:
        error = await ended(played)
        status = await played.cycle.query(ResearchCycleWorkflow.status)
        attempts, failures = await attempts_of(played.cycle, row.activity)
        closed_as = (await played.cycle.describe()).status
        assert played.asked is None or played.asked(row.activity) == attempts
        if row.history:
            await keep_history(row.history, played.cycle)

        assert (status.outcome, status.stopped_in, attempts) == (row.outcome, row.stopped_in, row.attempts)
        if row.outcome is Outcome.FAILED:
            assert status.failure
            assert error
            assert (status.failure.code, error.type) == (row.code, row.code.value)
            assert (error.message, status.reason) == (status.failure.message, status.failure.message)
            assert (closed_as, status.failure.phase) == (WorkflowExecutionStatus.FAILED, row.stopped_in or Phase.DONE)
            told = status.failure.message
        else:
            assert (closed_as, status.failure, error) == (WorkflowExecutionStatus.COMPLETED, None, None)
            assert {one.application_failure_info.type for one in failures} == {row.code.value}
            told = failures[0].message
        assert [words for words in row.says if words not in told] == [], told
        assert found_before(status)
        assert played.get(played.cycle.id) == (status if row.recorded else None)

        calls, balance = await played.calls(), await played.balance()
        assert (balance.active, balance.waiting, balance.tokens_held) == ((), (), 0)
        assert [entry.state for entry in calls].count("charged") == row.charged
        assert status.tokens == sum(entry.total_tokens for entry in calls)
        if row.code is E.ANTHROPIC_RATE_LIMITED:
            assert 0.25 in await pauses_of(played.cycle)


def found_before(status: CycleStatus) -> bool:
    """Whether all is there that the phases before its end had found."""
    found = {BACKTESTING: (status.strategy, status.training), ASSESSING: (status.training, status.backtest)}
    return None not in found.get(status.stopped_in or Phase.QUEUED, ())


async def ended(played: Played) -> ApplicationError | None:
    try:
        await asyncio.wait_for(played.cycle.result(), 60)
    except WorkflowFailureError as failed:
        error = failed.cause
    else:
        return None
    assert isinstance(error, ApplicationError)
    return error
