"""The activities around the store: count what was tried before, and keep what a cycle found."""

import asyncio
from dataclasses import dataclass

from temporalio import activity

from activities.faults import translated
from domain.cycle import CycleStatus
from store.cycles import Store
from store.strategies import StrategyFiles


@dataclass(frozen=True)
class RecordActivities:
    """What cycles ask of the store."""

    store: Store
    files: StrategyFiles

    @activity.defn(name="count_trials")
    async def count_trials(self, data_sha256: str) -> int:
        """How many backtests of these bars are recorded. Errors: store_unavailable."""
        with translated():
            return await asyncio.to_thread(self.store.trials, data_sha256)

    @activity.defn(name="record")
    async def record(self, status: CycleStatus) -> bool:
        """Keep an ended cycle; true where it was not known yet. Errors: store_unavailable."""
        with translated():
            return await asyncio.to_thread(self._record, status)

    def _record(self, status: CycleStatus) -> bool:
        facts = self.files.facts(status.strategy) if status.strategy and status.training else None
        return self.store.record(status, facts)
