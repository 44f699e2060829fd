"""Many ended cycles at once: records in a store, and closed workflows on a server, both as real cycles leave them."""

import asyncio
import hashlib
import random
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import event
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from client import description
from domain.cycle import CYCLE_WORKFLOW, CycleStatus, Failure, Outcome, Phase
from domain.errors import ErrorCode
from domain.results import Assessment, Hypothesis, Interval, Verdict
from store import database
from store.cycles import Store
from store.strategies import DesignFacts
from workflows import search_attributes

QUEUE = "filler"
AT_ONCE = 10
"""Starts of workflows under way. With more of them a development server takes longer for each."""

CLOSED = f"WorkflowType = '{CYCLE_WORKFLOW}' AND ExecutionStatus != 'Running'"

REJECTED = 0.6
"""The share of cycles whose strategy a gate has rejected; of the others one in twenty has failed."""


@workflow.defn(name=CYCLE_WORKFLOW)
class EndedAtOnce:
    """What the server keeps of a cycle without what it did."""

    @workflow.run
    async def run(self, outcome: str) -> None:
        if outcome == Outcome.FAILED:
            raise ApplicationError("the training failed", type="training_failed", non_retryable=True)


@dataclass(frozen=True)
class Model:
    """A cycle that was really run, of which others are made. design: what the store has of its strategy."""

    status: CycleStatus
    design: DesignFacts


def like(model: Model, number: int) -> tuple[CycleStatus, DesignFacts]:
    """The number-th copy, with an id, a time, a strategy, an outcome and figures of its own; always the same."""
    chance = random.Random(number)  # noqa: S311
    status, backtest, training = model.status, model.status.backtest, model.status.training
    if backtest is None or training is None:
        raise ValueError("the model has no results to copy")
    ended = status.started_at + timedelta(seconds=number)
    outcome = _outcome(chance)
    skill = chance.gauss(0.03, 0.02)
    sharpe = chance.gauss(0.0, 1.0)
    interval = Interval(low=sharpe - 1.5, high=sharpe + 1.5)
    passed = outcome is Outcome.COMPLETED
    changed: dict[str, object] = {
        "cycle_id": f"cycle-{ended:%Y%m%d-%H%M%S}-{number:04x}",
        "run_id": str(uuid.UUID(int=chance.getrandbits(128))),
        "started_at": ended - timedelta(minutes=2),
        "ended_at": ended,
        "outcome": outcome,
        "tokens": chance.randrange(20_000, 60_000),
        "training": training.model_copy(
            update={"seed": number, "validation_accuracy": training.chance + skill, "seconds": chance.uniform(2, 9)}
        ),
        "backtest": backtest.model_copy(
            update={
                "sharpe_ratio": sharpe,
                "sharpe_interval": interval,
                "excess_sharpe_interval": interval,
                "total_return": sharpe / 20,
                "max_drawdown": chance.uniform(0.02, 0.4),
                "total_trades": chance.randrange(5, 300),
                "trials": number + 1,
            }
        ),
        "assessment": _assessment(chance, number) if passed else None,
    }
    if not passed:
        changed |= {"stopped_in": Phase.BACKTESTING, "reason": f"backtest gate: Sharpe {sharpe:.2f} is below the bound"}
    if outcome is Outcome.FAILED:
        changed["failure"] = Failure(
            phase=Phase.ASSESSING, code=ErrorCode.ANTHROPIC_ERROR, message="the service was busy for an hour"
        )
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    design = DesignFacts(text=model.design.text, strategy_hash=digest, parameters=model.design.parameters)
    return status.model_copy(update=changed), design


def _outcome(chance: random.Random) -> Outcome:
    if chance.random() < REJECTED:
        return Outcome.REJECTED
    return Outcome.FAILED if chance.random() < 0.05 else Outcome.COMPLETED


def _assessment(chance: random.Random, number: int) -> Assessment:
    verdict = chance.choices(list(Verdict), weights=(1, 3, 6))[0]
    left = Hypothesis(
        text=f"Bars after hour {number % 24} carry the edge: validation accuracy there is above 0.55.",
        rationale="most trades that won began there",
    )
    return Assessment(
        verdict=verdict,
        strengths=("the loss fell evenly",),
        weaknesses=("a few trades carry the result", "the interval holds zero"),
        suggestions=("fewer inputs",),
        hypotheses=(left,) if chance.random() < 0.5 else (),
    )


def fill_store(url: str, model: Model, numbers: Sequence[int]) -> None:
    """Records of these copies, by the store's own way, but that nothing is waited for until it is on the disk."""
    engine = database.connect(url)
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    with closing(Store(engine)) as store:
        for number in numbers:
            store.record(*like(model, number))


async def fill_server(client: Client, model: Model, numbers: Sequence[int]) -> None:
    """Closed workflows of these copies, under the cycles' own type, with their search attributes, memo and summary."""
    there = (await client.count_workflows(CLOSED)).count
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        status, _ = like(model, number)
        async with free:
            await client.start_workflow(
                CYCLE_WORKFLOW,
                status.outcome,
                id=status.cycle_id,
                task_queue=QUEUE,
                memo=description.memo(status.request),
                static_summary=description.summary(status.request),
                static_details=description.details(status.request),
                search_attributes=_attributes(status),
                request_eager_start=True,
            )

    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[EndedAtOnce],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_tasks=100,
    ):
        await asyncio.gather(*map(one, numbers))
        # The list of what is closed is a moment behind.
        while (await client.count_workflows(CLOSED)).count < there + len(numbers):
            await asyncio.sleep(0.3)


def _attributes(status: CycleStatus) -> TypedSearchAttributes:
    request = status.request
    started = (search_attributes.SYMBOL, request.symbol), (search_attributes.TIMEFRAME, request.timeframe)
    pairs: list[SearchAttributePair[Any]] = [SearchAttributePair(key, value) for key, value in started]
    pairs += [SearchAttributePair(one.key, one.value) for one in search_attributes.of_ended(status)]
    return TypedSearchAttributes(pairs)
