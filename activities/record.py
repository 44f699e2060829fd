"""The activities around the store: count what was tried before, take over from it, and keep what a cycle found."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from temporalio import activity

from activities.faults import translated
from domain.cycle import CycleRequest, CycleStatus, Fork
from domain.errors import ErrorCode, ResearchError
from domain.forking import Inherited, inherited_from, require_model, source_of
from store.cycles import Store
from store.strategies import DesignFacts, StrategyFiles


class Witness(Protocol):
    """Whoever counts and traces what is recorded."""

    def recorded(self, cycle: CycleStatus, *, new: bool) -> None:
        """A cycle's record has been written; new: its row was not there before."""


@dataclass(frozen=True)
class RecordActivities:
    """What cycles ask of the store. witness: told of each record; None: nobody. artifacts: where models lie; None: that
    is not known here, and a model that is gone shows only when it is to be backtested.
    """

    store: Store
    files: StrategyFiles
    witness: Witness | None = None
    artifacts: Path | None = None

    @activity.defn(name="count_trials")
    async def count_trials(self, request: CycleRequest) -> int:
        """How many backtests of the request's symbol and timeframe are recorded. Errors: store_unavailable."""
        with translated():
            return await asyncio.to_thread(self.store.trials, request.symbol, request.timeframe)

    @activity.defn(name="inherit")
    async def inherit(self, fork: Fork) -> Inherited:
        """What a fork takes over from the recorded run; a backtest is held against all that are known by now.

        Errors: store_unavailable, data_unavailable.
        """
        with translated():
            return await asyncio.to_thread(self._inherited, fork)

    @activity.defn(name="record")
    async def record(self, status: CycleStatus) -> bool:
        """Keep an ended cycle; true where it was not known yet. Errors: store_unavailable."""
        with translated():
            return await asyncio.to_thread(self.keep, status)

    def _inherited(self, fork: Fork) -> Inherited:
        source = source_of(fork, self.store.run(fork.run_id))
        taken = inherited_from(source, fork)
        if (artifacts := self.artifacts) is not None:
            require_model(taken, fork, lambda path: (artifacts / path).is_file())
        if taken.backtest is None:
            return taken
        from engine.statistics import among_trials  # with libraries that take seconds to import

        trials = self.store.trials(source.request.symbol, source.request.timeframe)
        return taken.model_copy(update={"backtest": among_trials(taken.backtest, trials)})

    def keep(self, status: CycleStatus) -> bool:
        """As `record`, for who runs in a thread. Raises ResearchError."""
        new = self.store.record(status, self._facts(status))
        if self.witness:
            self.witness.recorded(status, new=new)
        return new

    def _facts(self, status: CycleStatus) -> DesignFacts | None:
        """The design's facts; None for a strategy that was never usable, which may be what the cycle failed of."""
        if status.strategy is None:
            return None
        try:
            return self.files.facts(status.strategy)
        except ResearchError as error:
            if error.code is not ErrorCode.INVALID_STRATEGY:
                raise
            activity.logger.warning("recorded without its strategy: %s", error.message)
            return None
