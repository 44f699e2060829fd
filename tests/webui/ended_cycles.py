"""Cycles that have ended in every way, as the visibility knows them: real runs of a stand-in that only wears their name
and their search attributes, so that a dozen take a moment.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from domain.cycle import CYCLE_WORKFLOW
from workflows import search_attributes

QUEUE = "stand-ins"


@dataclass(frozen=True)
class Cycle:
    """One cycle. outcome: None while it runs, or where it was terminated and could not say."""

    name: str
    outcome: str | None
    verdict: str | None = None
    sharpe: float | None = None
    symbol: str = "EURUSD"
    phase: str = "done"
    tokens: int = 0
    terminated: bool = False


CYCLES = (
    Cycle("promising-on-eurusd", "completed", "promising", 1.75, tokens=41_000),
    Cycle("promising-on-aapl", "completed", "promising", 1.25, symbol="AAPL"),
    Cycle("neutral", "completed", "neutral", 0.5, tokens=38_000),
    Cycle("poor", "completed", "poor", -0.25),
    Cycle("no-figure", "completed", "poor"),
    Cycle("rejected-by-backtest", "rejected", sharpe=-1.5),
    Cycle("rejected-by-training", "rejected"),
    Cycle("refused", "refused"),
    Cycle("failed", "failed", sharpe=9.0, symbol="AAPL"),
    Cycle("cancelled", "cancelled"),
    Cycle("terminated", None, phase="training", terminated=True),
    Cycle("running", None, phase="training"),
)


@workflow.defn(name=CYCLE_WORKFLOW)
class StandIn:
    """Ends as it is told to."""

    @workflow.run
    async def run(self, outcome: str | None) -> None:
        if outcome == "failed":
            raise ApplicationError("the training failed", type="training_failed", non_retryable=True)
        if outcome in (None, "cancelled"):
            await workflow.wait_condition(lambda: False)


async def ended_cycles(client: Client) -> None:
    """Run them all, and wait until the visibility knows how each one stands."""
    async with Worker(client, task_queue=QUEUE, workflows=[StandIn], debug_mode=True):
        await asyncio.gather(*(_run(client, cycle) for cycle in CYCLES))
        async with asyncio.timeout(30):
            while (await client.count_workflows("ExecutionStatus != 'Running'")).count != len(CYCLES) - 1:
                await asyncio.sleep(0.05)


async def _run(client: Client, cycle: Cycle) -> None:
    handle = await client.start_workflow(
        StandIn.run, cycle.outcome, id=cycle.name, task_queue=QUEUE, search_attributes=_attributes(cycle)
    )
    if cycle.terminated:
        await handle.terminate()
    if cycle.outcome == "cancelled":
        await handle.cancel()


def _attributes(cycle: Cycle) -> TypedSearchAttributes:
    pairs: list[SearchAttributePair[Any]] = [
        SearchAttributePair(search_attributes.SYMBOL, cycle.symbol),
        SearchAttributePair(search_attributes.TIMEFRAME, "1h"),
        SearchAttributePair(search_attributes.PHASE, cycle.phase),
    ]
    if cycle.outcome:
        pairs.append(SearchAttributePair(search_attributes.OUTCOME, cycle.outcome))
        pairs.append(SearchAttributePair(search_attributes.TOKENS_USED, cycle.tokens))
    if cycle.verdict:
        pairs.append(SearchAttributePair(search_attributes.VERDICT, cycle.verdict))
    if cycle.sharpe is not None:
        pairs.append(SearchAttributePair(search_attributes.SHARPE, cycle.sharpe))
    return TypedSearchAttributes(pairs)
