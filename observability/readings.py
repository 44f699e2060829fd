"""What is read when Prometheus scrapes: the budget from its ledger, and the active cycles from the server's list.

All workers serve the same values, so they are aggregated by max. What could not be read is absent, and
`scrape_success` says so: an old figure would be taken for the present one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from temporalio.client import Client

from domain.cycle import CYCLE_WORKFLOW, Phase
from domain.ledger import BudgetStatus, budget_workflow_id
from observability.names import PREFIX

PATIENCE = 3.0
"""Seconds for each reading; a scrape waits for both, side by side."""

T = TypeVar("T")

log = logging.getLogger("metrics")


class Readings(Collector):
    """For a registry: reads on this loop, from the thread that serves the page. scope: of the budget."""

    def __init__(
        self,
        client: Client,
        loop: asyncio.AbstractEventLoop,
        scope: str | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._client = client
        self._loop = loop
        self._scope = scope
        self._patience = patience

    def collect(self) -> Iterator[Metric]:
        """The gauges, as of now."""
        budget, cycles = self._read()
        yield success(ledger=budget is not None, cycles=cycles is not None)
        if budget is not None:
            yield from _of_budget(budget)
        if cycles is not None:
            active = _gauge("active_cycles", "Cycles that run, by phase.", "phase")
            for phase, count in cycles.items():
                active.add_metric([phase.value], count)
            yield active

    def describe(self) -> list[Metric]:
        """Nothing: a registry must not read to learn the names."""
        return []

    def _read(self) -> tuple[BudgetStatus | None, dict[Phase, int] | None]:
        async def both() -> tuple[BudgetStatus | None, dict[Phase, int] | None]:
            return await asyncio.gather(self._tried("ledger", self._budget), self._tried("cycles", self._cycles))

        reading = both()
        try:
            asked = asyncio.run_coroutine_threadsafe(reading, self._loop)
        except RuntimeError:  # the worker has ended
            reading.close()
            return None, None
        try:
            return asked.result(self._patience + 1)
        except (TimeoutError, CancelledError):  # the worker is busy beyond measure, or about to end
            asked.cancel()  # which the loop does: the coroutine is not this thread's to close
            return None, None

    async def _tried(self, source: str, read: Callable[[], Awaitable[T]]) -> T | None:
        try:
            async with asyncio.timeout(self._patience):
                return await read()
        except Exception as error:
            log.warning("the %s could not be read for the metrics: %s", source, str(error) or type(error).__name__)
            return None

    async def _budget(self) -> BudgetStatus:
        handle = self._client.get_workflow_handle(budget_workflow_id(self._scope))
        status: BudgetStatus = await handle.query("status", result_type=BudgetStatus)
        return status

    async def _cycles(self) -> dict[Phase, int]:
        async def count(phase: Phase) -> int:
            running = f"WorkflowType = '{CYCLE_WORKFLOW}' AND ExecutionStatus = 'Running' AND Phase = '{phase.value}'"
            return (await self._client.count_workflows(running)).count

        counts = await asyncio.gather(*map(count, Phase))
        return dict(zip(Phase, counts, strict=True))


def success(*, ledger: bool, cycles: bool) -> Metric:
    """What could be read at this scrape."""
    told = _gauge("scrape_success", "Whether the gauges of this source could be read at this scrape.", "source")
    told.add_metric(["ledger"], float(ledger))
    told.add_metric(["cycles"], float(cycles))
    return told


def _of_budget(status: BudgetStatus) -> Iterator[Metric]:
    tokens = {
        "limit": status.daily_budget,
        "settled": status.tokens_settled,
        "charged": status.tokens_charged,
        "held": status.tokens_held,
        "free": status.tokens_remaining,
    }
    usd = {
        "limit": status.daily_usd_budget,
        "settled": status.usd_settled,
        "charged": status.usd_charged,
        "held": status.usd_held,
        "free": status.usd_remaining,
    }
    yield _states("budget_tokens", "The day's tokens.", tokens)
    yield _states("budget_usd", "The day's dollars; no limit and nothing free where no limit is set.", usd)
    now = datetime.now(UTC)
    longest = max(((now - holding.since).total_seconds() for holding in status.active), default=0.0)
    figures = {
        "budget_reset_timestamp_seconds": ("When the next day begins, Unix time.", status.next_reset.timestamp()),
        "budget_paused": ("1 while the budget is paused.", float(status.paused is not None)),
        "budget_waiting_cycles": ("Cycles that wait for a slot or funds.", len(status.waiting)),
        "budget_oldest_envelope_seconds": ("How long the oldest open envelope has been held; 0: none is.", longest),
        "budget_overrun_tokens": ("Tokens billed beyond their calls' ceilings, ever.", status.overrun_tokens),
    }
    for name, (what, value) in figures.items():
        yield GaugeMetricFamily(f"{PREFIX}{name}", what, value)


def _states(name: str, what: str, values: Mapping[str, int | Decimal | None]) -> Metric:
    gauge = _gauge(name, what, "state")
    for state, value in values.items():
        if value is not None:
            gauge.add_metric([state], float(value))
    return gauge


def _gauge(name: str, what: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}{name}", what, labels=[label])
